import numpy as np
import pytest

from pipeline import tables
from pipeline.stages.embed_images import EmbedImagesParameters, run
from pipeline.stages.shared.batching import NOT_FINITE

CLIP = {"model": "local-dir:/models/clip"}


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_one_unit_vector_for_each_image(images, clip, batch_size):
    listed = images(red=(255, 0, 0), broken=b"no image", black=(0, 0, 0), blue=(0, 0, 255))
    parameters = EmbedImagesParameters(clip=CLIP, batch_size=batch_size)
    table = run({"images": listed}, parameters, (clip,))
    tables.check("image_embeddings", table)
    assert table["image_id"].to_pylist() == ["red", "broken", "black", "blue"]
    values, valid = tables.matrix(table["embedding"])
    assert valid.tolist() == [True, False, False, True]
    half = np.float32(0.5**0.5)
    np.testing.assert_allclose(values[0], [half, 0, 0, half], atol=5e-4)
    np.testing.assert_allclose(values[3], [0, 0, half, half], atol=5e-4)
    norms = table["norm"].to_pylist()
    assert norms == [pytest.approx(2**0.5), None, None, pytest.approx(2**0.5)]
    errors = table["error"].to_pylist()
    assert errors[0] is errors[3] is None
    assert errors[1]
    assert errors[2] == NOT_FINITE
    assert max(clip.batches) <= batch_size
