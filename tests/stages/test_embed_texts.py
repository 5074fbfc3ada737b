import hashlib

import numpy as np
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from pipeline import tables
from pipeline.stages.embed_texts import STAGE, EmbedTextsParameters, run
from pipeline.stages.shared.batching import NOT_FINITE
from pipeline.stages.shared.phrases import text_id

CLIP = {"model": "local-dir:/models/clip"}


def _run(clip, captions, phrases, **parameters):
    inputs = {
        "captions": tables.build(
            "captions", {"image_id": [str(i) for i in range(len(captions))], "caption": captions}
        ),
        "objects": tables.build("objects", {"image_id": ["0"] * len(phrases), "phrase": phrases}),
    }
    given = EmbedTextsParameters(clip=CLIP, **parameters)
    needed = STAGE.texts(inputs, given).select(["text_id", "text"])
    once = needed.take(pc.index_in(pc.unique(needed["text_id"]), value_set=needed["text_id"]))
    table = run({"texts": once}, given, (clip,))
    tables.check("text_embeddings", table)
    return table


def test_each_text_is_embedded_once(clip):
    captions = ["red and blue", None, "green", "red and blue", ""]
    table = _run(clip, captions, ["red", "blue", None, "red", "green"], batch_size=3)
    assert table["text"].to_pylist() == ["red and blue", "green", "red", "blue"]
    assert clip.batches == [3, 1]
    values, valid = tables.matrix(table["embedding"])
    assert valid.all()
    np.testing.assert_allclose(values[0], np.array([1, 0, 1, 2]) / 6**0.5, atol=5e-4)
    assert table["norm"].to_pylist()[1] == pytest.approx(2**0.5)


def test_text_id_is_the_hash_of_the_text(clip):
    expected = hashlib.sha256(b"red").hexdigest()[:32]
    assert text_id("red") == expected
    assert _run(clip, ["red"], [])["text_id"].to_pylist() == [expected]
    assert STAGE.key == "text_id"


def test_the_template_is_written_around_phrases_only(clip):
    table = _run(clip, ["red"], ["red", "blue"], phrase_template="a photo of a {}")
    assert table["text"].to_pylist() == ["red", "a photo of a red", "a photo of a blue"]


def test_a_cut_text_is_marked(clip):
    table = _run(clip, ["red " * 20, "red"], [])
    assert table["truncated"].to_pylist() == [True, False]


def test_a_text_without_finite_embedding_is_a_failed_row(clip):
    table = _run(clip, ["nothing", "red"], [])
    assert table["error"].to_pylist() == [NOT_FINITE, None]
    assert table["embedding"].is_valid().to_pylist() == [False, True]


def test_a_part_without_any_text_gives_an_empty_table(clip):
    table = _run(clip, [None, None], [None])
    assert len(table) == 0
    assert table.schema == tables.schema("text_embeddings", 4)


def test_a_template_without_a_place_for_the_phrase_is_refused():
    for template in ("a photo", "{} and {}"):
        with pytest.raises(ValidationError, match="exactly one"):
            EmbedTextsParameters(clip=CLIP, phrase_template=template)


def test_without_objects_captions_alone_are_embedded():
    captions = tables.build("captions", {"image_id": ["0", "1"], "caption": ["red", None]})
    needed = STAGE.texts({"captions": captions}, EmbedTextsParameters(clip=CLIP))
    assert needed.select(["image_id", "text"]).to_pylist() == [{"image_id": "0", "text": "red"}]
