import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.head.inputs import gather_beside


def ids(*numbers):
    return pa.chunked_array([[f"{i:032x}" for i in numbers]])


def test_a_caption_meets_the_embedding_of_its_text(content, store):
    made = content()
    made.captions["caption"][:3] = ["scene 1", "scene 4", "scene 1"]
    x = gather_beside(store(made), ids(2, 0, 1, 2))["caption_embedding"]
    vectors = np.array(list(made.texts.values())).astype(np.float16).astype(np.float32)
    assert x.dtype == np.float32
    assert np.array_equal(x, vectors[[1, 1, 4, 1]])


def test_a_text_embedded_in_several_parts_has_one_embedding(content, tmp_path):
    """Parts' vectors may differ by rounding: which one is taken does not hang on their order."""
    from pipeline import tables
    from pipeline.query import connect

    made, found = content(), []
    for number, order in enumerate(([0, 1], [1, 0])):
        parts = made.write(tmp_path / str(number))
        vectors = np.array([[0.5] * 8, [0.5] * 7 + [0.25]])[order]
        columns = {"text_id": ["a", "a"], "text": ["scene 0"] * 2}
        columns["embedding"] = tables.vectors(vectors, np.ones(2, bool))
        table = tables.build("text_embeddings", columns, 8)
        pq.write_table(table, parts["text_embeddings"][1][0], use_dictionary=False)
        image = made.captions["caption"].index("scene 0")
        found.append(gather_beside(connect(parts), ids(image))["caption_embedding"])
    assert np.array_equal(found[0], found[1])


def test_metadata_are_the_files_facts_and_a_column_a_format(content, store):
    made = content()
    facts = {"bytes": 1000, "width": 50, "height": 10, "jpeg_quality": 90, "format": "JPEG"}
    for name, value in facts.items():
        made.images[name][0] = value
    made.images["format"][1], made.images["jpeg_quality"][1] = "PNG", None
    x = gather_beside(store(made), ids(1, 0, 1))["metadata"]
    assert x.dtype == np.float32
    assert x[1].tolist() == [1000, 50, 10, 2, 90, 1, 0]
    bytes_, width = made.images["bytes"][1], made.images["width"][1]
    assert x[0] == pytest.approx([bytes_, width, 64, bytes_ / width / 64, 0, 0, 1], rel=1e-6)
    assert np.array_equal(x[0], x[2])


def test_an_image_without_a_row_or_an_embedded_caption_is_an_error(content, store, tmp_path):
    made = content()
    made.captions["caption"][4] = "never embedded"
    with pytest.raises(UserError, match="text_embeddings has 2 rows for 3 images"):
        gather_beside(store(made), ids(3, 4, 5))
    made = content()
    made.images = {name: values[:4] for name, values in made.images.items()}
    with pytest.raises(UserError, match="images has 1 rows for 3 images"):
        gather_beside(store(made), ids(3, 4, 5))
