import numpy as np
import pytest
from PIL import Image

from pipeline import tables
from pipeline.stages.embed_images import EmbedImagesParameters, run
from pipeline.stages.shared.batching import NOT_FINITE
from tests.helpers.hostile import empty_png

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


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_images_that_cannot_be_prepared_are_failed_rows(images, clip, threads):
    """Nine of them in one part used to lose all of its images."""
    raised = [MemoryError(), OverflowError("signed integer is greater than maximum"), OSError()]

    def prepare(image):
        if image.width > 8:
            raise raised[image.width % 3]
        return image

    clip.prepare = prepare
    listed = images(
        **{f"bad{n}": Image.new("RGB", (9 + n, 8), (9, 9, 9)) for n in range(12)},
        **{f"empty{n}": empty_png(1, 80_000_000 + n) for n in range(9)},
        **{f"good{n}": (250, n, 0) for n in range(5)},
    )
    parameters = EmbedImagesParameters(clip=CLIP, threads=threads)
    table = run({"images": listed}, parameters, (clip,))
    errors = dict(zip(table["image_id"].to_pylist(), table["error"].to_pylist(), strict=True))
    assert [name for name, why in errors.items() if why is None] == [f"good{n}" for n in range(5)]
    assert errors["bad0"] == "transient: out of memory"
    assert errors["bad1"] == "OverflowError: signed integer is greater than maximum"
    assert errors["bad2"].startswith("transient: OSError: Base class")
    assert "cannot hold 1x80000008 pixels" in errors["empty8"]


def test_memory_that_another_image_had_is_tried_for_once_more(images, clip):
    tried = []

    def prepare(image):
        tried.append(image.getpixel((0, 0)))
        if tried.count(tried[-1]) == 1:
            raise MemoryError
        return image

    clip.prepare = prepare
    listed = images(red=(255, 0, 0), blue=(0, 0, 255))
    table = run({"images": listed}, EmbedImagesParameters(clip=CLIP), (clip,))
    assert table["error"].to_pylist() == [None, None]


def test_what_no_image_is_to_blame_for_is_no_failed_row(images, clip):
    clip.prepare = lambda: None
    with pytest.raises(TypeError):
        run({"images": images(red=(255, 0, 0))}, EmbedImagesParameters(clip=CLIP), (clip,))
