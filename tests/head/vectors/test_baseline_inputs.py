import numpy as np
import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.head.vectors.baseline_inputs import caption_embedding, metadata
from pipeline.head.vectors.parts import locate
from pipeline.query.questions import connect
from pipeline.store.parts import write_part


def part_of(connection, *numbers):
    """The one part of some images."""
    (part,) = locate(connection, pa.array([f"{i:032x}" for i in numbers]))
    return part


def test_a_caption_meets_the_embedding_of_its_text(content, store):
    made = content()
    made.captions["caption"][:3] = ["scene 1", "scene 4", "scene 1"]
    x = caption_embedding(part_of(store(made), 0, 1, 2))
    vectors = np.array(list(made.texts.values())).astype(np.float16)
    assert x.dtype == np.float16
    assert np.array_equal(x, vectors[[1, 4, 1]])


def test_a_text_embedded_in_several_parts_counts_as_in_the_image_s_own(content, tmp_path):
    """Parts' vectors may differ by rounding; the node `features` has its own part's, too."""
    made = content()
    parts = made.write(tmp_path)
    columns = {"text_id": list("abcdef"), "text": [f"scene {i}" for i in range(6)]}
    columns["embedding"] = tables.vectors(np.full((6, 8), 0.5))
    table = tables.build("text_embeddings", columns, 8)
    write_part(parts["text_embeddings"][1][1], table, {})
    connection = connect(parts)
    assert (caption_embedding(part_of(connection, 200)) == 0.5).all()
    assert (caption_embedding(part_of(connection, 20)) != 0.5).all()


def test_metadata_are_the_files_facts_and_a_column_a_format(content, store):
    made = content()
    facts = {"bytes": 20_000_001, "width": 50, "height": 10, "jpeg_quality": 90, "format": "JPEG"}
    for name, value in facts.items():
        made.images[name][0] = value
    made.images["format"][1], made.images["jpeg_quality"][1] = "PNG", None
    x = metadata(part_of(store(made), 1, 0), ("JPEG", "PNG"))
    assert x.dtype == np.float32
    assert x[0] == pytest.approx([20_000_001, 50, 10, 40_000, 90, 1, 0], rel=1e-6)
    bytes_, width = made.images["bytes"][1], made.images["width"][1]
    assert x[1] == pytest.approx([bytes_, width, 64, bytes_ / width / 64, 0, 0, 1], rel=1e-6)


def test_an_image_without_a_row_or_an_embedded_caption_is_an_error(content, store, tmp_path):
    made = content()
    made.captions["caption"][4] = "never embedded"
    with pytest.raises(UserError, match="text_embeddings has 2 rows for 3 images of part-00000"):
        caption_embedding(part_of(store(made), 3, 4, 5))
    made = content()
    made.captions["image_id"][4] = "x"
    with pytest.raises(UserError, match="captions has 2 rows for 3 images of part-00000"):
        caption_embedding(part_of(store(made), 3, 4, 5))
