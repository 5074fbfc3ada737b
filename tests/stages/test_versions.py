"""The code of a stage counts: what it makes of fixed inputs, beside its version.

The version is in every fingerprint, and is raised by hand. Where this fails, a stage gives other
rows than before: raise its version, so that no store mixes them, and put the new pair here.
"""

from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import tables
from pipeline.corpus.sources.found import FILES
from pipeline.models.parser.noun_phrases import find_phrases
from pipeline.models.parser.parser import Phrase
from pipeline.stages.registry import MODULES, get_stage
from tests.helpers.images import images_table
from tests.helpers.tagged import tagged

CLIP = {"model": "local-dir:/models/clip"}
MADE = {  # stage -> (version, hash of its rows, numbers to two or three digits)
    "listing": (6, "4679787d"),
    "images": (3, "d5095a21"),
    "caption": (1, "bf578b2c"),
    "provided_embeddings": (1, "b5c58586"),
    "parse": (2, "90779599"),
    "ground": (3, "8eb33ecd"),
    "embed_images": (2, "4fad57af"),
    "embed_texts": (2, "921285a7"),
    "embed_objects": (3, "1bbdce75"),
    "misalign": (3, "34dacf47"),
    "features": (2, "556e990f"),
}
# parse's version counts its rule too: the hash of what the rule makes of captions tagged by hand
RULE = (2, "7ed6b1f8")
CAPTIONS = """
two/NUM red/ADJ balls and a group of children
Women/PROPN stand outside/ADV
a man in black/ADJ riding/VERB a pony at/ADP sunset
a snow covered/VERB sled/VERB , knives and scarves on top of a t ~- ~shirt
"""


class Words:
    """A parser for which every word is an object."""

    def noun_phrases(self, captions, batch_size):
        found = []
        for caption in captions:
            words = (caption or "").split()
            starts = [(caption or "").find(word) for word in words]
            pairs = zip(words, starts, strict=True)
            found.append([Phrase(word, word, at, at + len(word)) for word, at in pairs])
        return found


@pytest.fixture
def files(tmp_path):
    """Three pictures without any compression, whose bytes no library decides, and no picture."""
    squares = np.zeros((3, 8, 8, 3), np.uint8)
    squares[0, :, :4, 0] = squares[1, 2:, :, 2] = squares[2, ::2, ::2, 1] = 200
    folder = tmp_path / "test" / "gan" / "1_fake"
    folder.mkdir(parents=True)
    for number, pixels in enumerate(squares):
        (folder / f"{number}.ppm").write_bytes(b"P6 8 8 255\n" + pixels.tobytes())
    (folder / "3.ppm").write_bytes(b"none")
    return sorted(folder.iterdir())


def digest(table: pa.Table, folder: str) -> str:
    """8 hex digits over the rows."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_fixed_size_list(column.type):
            values, valid = tables.matrix(column)
            column = [
                row.round(2).tolist() if ok else None for row, ok in zip(values, valid, strict=True)
            ]
        elif pa.types.is_floating(column.type):
            column = pc.round(column.cast(pa.float64()), 3).to_pylist()
        else:
            column = column.to_pylist()
        columns[name] = column
    return sha256(repr(columns).replace(folder, "").replace("-0.0", "0.0").encode()).hexdigest()[:8]


@pytest.fixture
def made(files, clip, captioner, tmp_path):
    """Every stage's rows, each of what the ones before it made."""
    listed = [(str(path), str(path.relative_to(tmp_path)), 0, "0") for path in files]
    found = {
        "files": pa.Table.from_pylist(
            [dict(zip(FILES.names, row, strict=False)) for row in listed], FILES
        )
    }

    def run(name, inputs, parameters=None, models=()):
        stage = get_stage(name)
        given = stage.parameters.model_validate(parameters or {})
        table = stage.run(inputs, given, models)
        tables.check(stage.output, table)
        return table

    out = {"listing": run("listing", found, {"layout": "forensynths"})}
    listing = out["listing"]
    columns = {name: listing[name] for name in tables.COLUMNS["images"] if name != "variant"}
    images = images_table({**columns, "uri": listing["uri"], "variant": ["clean"] * len(files)})
    ids = [f"{one}-noise_0.01" for one in images["image_id"].to_pylist()]
    varied = {name: images[name] for name in images.column_names}
    varied |= {"image_id": ids, "variant": ["noise_0.01"] * len(files)}
    out["images"] = run("images", {"images": pa.table(varied)})
    known = {"images": images}
    out["caption"] = known["captions"] = run("caption", known, {"model": "m"}, (captioner,))
    ids = images["image_id"].to_pylist()
    np.savez(tmp_path / "e.npz", keys=np.array(ids[:2]), embeddings=[[3.0, 4.0], [0.0, 0.0]])
    given = {"file": str(tmp_path / "e.npz"), "by": "image_id"}
    stage = get_stage("provided_embeddings")
    (spec,) = stage.models(stage.parameters.model_validate(given))
    out["provided_embeddings"] = run("provided_embeddings", known, given, (spec.load(),))
    out["parse"] = known["objects"] = run("parse", known, {"model": "m"}, (Words(),))
    out["ground"] = known["regions"] = run(
        "ground", known, {"method": "patches", "clip": CLIP}, (clip,)
    )
    out["embed_images"] = known["image_embeddings"] = run(
        "embed_images", known, {"clip": CLIP}, (clip,)
    )
    stage = get_stage("embed_texts")
    texts = stage.texts(known, stage.parameters.model_validate({"clip": CLIP}))
    texts = texts.select(["text_id", "text"]).group_by(["text_id", "text"]).aggregate([])
    known["texts"] = texts.sort_by("text_id")
    out["embed_texts"] = known["text_embeddings"] = run(
        "embed_texts", known, {"clip": CLIP}, (clip,)
    )
    out["embed_objects"] = known["object_embeddings"] = run(
        "embed_objects", known, {"clip": CLIP}, (clip,)
    )
    out["misalign"] = known["misalignment"] = run("misalign", known)
    out["features"] = run("features", known)
    return {name: digest(table, str(tmp_path)) for name, table in out.items()}


def test_a_stage_that_gives_other_rows_has_another_version(made):
    assert {name: (get_stage(name).version, made[name]) for name in made} == MADE
    assert set(MADE) == set(MODULES) - {"provided"}  # which hands a file's texts on


def test_a_rule_that_gives_other_phrases_has_another_version():
    found = [find_phrases(*tagged(line)) for line in CAPTIONS.strip().splitlines()]
    made = sha256(repr(found).encode()).hexdigest()[:8]
    assert (get_stage("parse").version, made) == RULE
