"""The verdicts of `item predict` as a page: pictures that are bounded, a table that has all."""

import re
from hashlib import sha256

import pyarrow as pa
import pytest

from pipeline.pages import verdicts
from pipeline.pages.verdicts import page
from pipeline.predict.answer import VERDICTS
from tests.conftest import draw

BY = [("run", "cross/0123"), ("method", "global")]
BAND = "surely real below 0.200, surely fake from 0.800 on"
BALL = {"object_no": 0, "phrase": "a <b>ball</b>", "head": "ball", "cosine": 0.25}
PLACED = {**BALL, "x0": 0.25, "y0": 0.5, "x1": 0.75, "y1": 1.0, "distance": 1.2, "percentile": 97.5}


def row(path, verdict, probability, **more):
    return {
        "path": str(path),
        "image_id": sha256(path.read_bytes()).hexdigest()[:32],
        "verdict": verdict,
        "likelier": "fake" if probability >= 0.5 else "real",
        "probability": probability,
        "distance": 0.75,
        "percentile": 12.5,
        "cosine": 0.5,
        "caption": "a ball",
        "objects": [],
        "format": "JPEG",
        "width": 48,
        "height": 48,
        **more,
    }


def made(rows, **options):
    table = pa.Table.from_pylist(rows, VERDICTS)
    uris = [one["path"] if one.get("image_id") else None for one in rows]
    return page(table, uris, BY, BAND, **options)


def section(text, name):
    return re.search(rf'<section id="{name}".*?</section>', text, re.S)[0]


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_an_image_with_its_verdict_objects_distances_and_percentiles(tmp_path):
    path = draw(tmp_path / "a.jpg", 1)
    objects = [PLACED, {**BALL, "object_no": 1, "phrase": "a table", "cosine": None}]
    text = made([row(path, "unsure", 0.625, objects=objects)])
    images = section(text, "images")
    assert images.count("<img ") == 1
    assert '<div class="pictures large">' in images
    assert images.count('class="over"') == 1
    assert 'x="12.00" y="24.00" width="24.00" height="24.00"' in images
    said = words(images)
    assert "Surely real below 0.200, surely fake from 0.800 on." in said
    assert "unsure P(fake) 0.625 · likelier fake · distance 0.750 (12.5 %)" in said
    assert "a &lt;b&gt;ball&lt;/b&gt; 1.200 (97.5 %)" in said
    assert "a table –" not in said  # no distance is known: nothing stands there
    assert "<title>a.jpg · Verdicts</title>" in text
    assert "cross/0123" in words(text)


def test_of_many_the_surest_are_shown_and_the_table_has_all(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "EACH", 2)
    chances = {"fake": (0.9, 0.95, 0.85), "unsure": (0.5, 0.4), "real": (0.1, 0.15, 0.05)}
    rows = []
    for kind, each in chances.items():
        for chance in each:
            rows.append(row(draw(tmp_path / f"{kind}{chance}.jpg", len(rows)), kind, chance))
    text = made(rows)
    images, table = section(text, "images"), section(text, "table")
    assert re.findall(r"<h3><bdi>(\w+)", images) == ["Fake", "Unsure", "Real"]
    assert re.findall(r"P\(fake\) ([\d.]+)", images) == [
        *("0.950", "0.900", "0.500", "0.400", "0.050", "0.100")
    ]
    assert "2 of 3 are shown, the likeliest fakes first; the table below has all." in images
    assert "2 of 3 are shown, the likeliest reals first; the table below has all." in images
    assert table.count("<tr>") == 1 + len(rows)
    assert "3 fake, 2 unsure, 3 real" in words(text)


def test_failed_files_are_lines_and_none_of_them_is_opened(tmp_path, monkeypatch):
    bad = {"path": "<script>alert(1)</script>.jpg", "error": "image file is truncated\x1b[2J"}
    opened = []
    monkeypatch.setattr(verdicts, "read_bytes", lambda uri: opened.append(uri))
    text = made([bad, {"path": "none.jpg", "error": "there is no such file or folder"}])
    assert opened == []
    assert "No image could be judged." in section(text, "images")
    said = words(section(text, "failures"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.jpg image file is truncated\\x1b[2J" in said
    assert "none.jpg there is no such file or folder" in said
    assert words(section(text, "table")).count("not judged") == 2
    assert "2 not judged" in words(text)


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_a_file_that_is_another_by_now_is_no_picture(tmp_path, what):
    path = draw(tmp_path / "a.jpg", 1)
    rows = [row(path, "fake", 0.9)]
    path.unlink() if what == "gone" else draw(path, 2)
    images = section(made(rows, notes=["Interrupted: 1 of 2 were judged."]), "images")
    assert "<img " not in images
    said = {"changed": "the file has changed since it was judged", "gone": "No such file"}
    assert said[what] in images
    assert "Interrupted: 1 of 2 were judged." in images
