"""`item show`: which image is meant, and what is said of it."""

import base64
import csv
import io
import json
import re
import shutil
import tarfile
import zipfile
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.pages.gallery import short_path
from tests.conftest import draw
from tests.pages.conftest import SCRIPT

NAME = 'plain/0_real/"><img src=x onerror=alert(2)>200.jpg'


@pytest.fixture(scope="module")
def shown(hostile, item):
    done = item("show", "odd.yaml", NAME, "--json", cwd=hostile)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_that_is_known_of_it(shown, hostile):
    facts, tables = shown["facts"], shown["tables"]
    assert facts["uri"] == str(hostile / "corpus" / "test" / NAME)
    assert facts["label"] == "real"
    assert facts["caption"] == "a red cup on <script>alert(4)</script> a table"
    assert [row["variant"] for row in tables["variants"]] == ["clean", "jpeg_50"]
    assert [row["level"] for row in tables["ranks"]][:2] == ["global", "local"]
    assert all(0 <= row["among_reals"] <= 1 for row in tables["ranks"])
    assert {(row["space"], row["kind"]) for row in tables["neighbours"]} == {
        (space, kind) for space in ("D", "CLIP") for kind in ("real", "fake")
    }
    assert len(tables["neighbours"]) == 16
    assert tables["verdicts"] == []  # it was trained on
    assert "cup" in {row["phrase"].split()[-1] for row in tables["objects"]}


def test_it_is_found_by_id_path_and_bytes(shown, hostile, item, tmp_path):
    image_id, uri = shown["facts"]["image_id"], shown["facts"]["uri"]
    copy = shutil.copy(uri, tmp_path / "elsewhere.jpg")
    ways = [image_id, f"{image_id}-jpeg_50", image_id[:12], uri, f"test/{NAME}", NAME, copy]
    for way in ways:
        done = item("show", "odd.yaml", way, "--json", cwd=hostile)
        assert json.loads(done.stdout)["facts"]["image_id"] == image_id, way
    done = item("show", NAME, "--json", cwd=hostile)  # the DAG of this folder
    assert json.loads(done.stdout)["facts"]["image_id"] == image_id


@pytest.mark.parametrize("kind", ["tar", "zip", "parquet"])
def test_an_archive_or_a_table_is_like_a_folder(item, tmp_path, kind):
    path = tmp_path / "corpus" / f"some.{kind}"
    files = [draw(tmp_path / "real" / f"{number}.jpg", number) for number in range(3)]
    path.parent.mkdir()
    if kind == "parquet":
        cells = [{"bytes": one.read_bytes(), "path": f"real/{one.name}"} for one in files]
        pq.write_table(pa.table({"image": cells}), path)
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "real", "./real")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for one in files:
                archive.write(one, f"real/{one.name}")
    text = f"name: packed\ncorpus: {{root: {path.parent}}}\nnodes: {{}}\n"
    (tmp_path / "packed.yaml").write_text(text)
    assert item("run", "packed.yaml", "--inline", "--no-report", cwd=tmp_path).returncode == 0
    expected = sha256(files[1].read_bytes()).hexdigest()[:32]
    for way in ("1.jpg", "real/1.jpg", f"some.{kind}/real/1.jpg", f"{path}/real/1.jpg"):
        done = item("show", "packed.yaml", way, "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["facts"]["image_id"] == expected, way


def test_one_that_is_not_there_is_told_the_nearest(hostile, item):
    for way, said in (
        (NAME.replace("200", "20"), "the nearest is test/plain/0_real/"),
        ("0" * 32, "next:  `item query odd.yaml"),  # nothing is like it
        ("x\0y", "there is no image"),
    ):
        done = item("show", "odd.yaml", way, cwd=hostile)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert len(done.stderr.splitlines()) == 3
    done = item("show", "odd.yaml", cwd=hostile)
    assert (done.returncode, "no image '" in done.stderr) == (2, True)  # it is taken for an image


def test_several_that_fit_are_named(item, tmp_path):
    for number, folder in enumerate("ab"):
        draw(tmp_path / "corpus" / folder / "same.jpg", number)
    text = f"name: two\ncorpus: {{root: {tmp_path / 'corpus'}}}\nnodes: {{}}\n"
    (tmp_path / "two.yaml").write_text(text)
    assert item("run", "two.yaml", "--inline", "--no-report", cwd=tmp_path).returncode == 0
    done = item("show", "two.yaml", "same.jpg", cwd=tmp_path)
    assert done.returncode == 2
    assert "'same.jpg' fits several images" in done.stderr
    assert "give more of it: a/same.jpg, b/same.jpg" in done.stderr
    done = item("show", "two.yaml", "a/same.jpg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_terminal_gets_no_control(hostile, item):
    name = "plain/1_fake/\x1b[2J250.jpg"
    done = item("show", "odd.yaml", name, cwd=hostile)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout) & set("\x1b\u202e")
    assert "label     fake" in done.stdout
    assert "no run of this DAG has it among its test images" in done.stdout


def test_verdicts_are_a_row_a_run(hostile, item):
    name = "$x^2$ <b>/0_real/it's &amp;103.jpg"
    done = item("show", "odd.yaml", name, cwd=hostile)
    assert done.returncode == 0, done.stderr
    below = done.stdout.split("What every run says of it")[1].splitlines()
    assert "global+local" in below[1]
    assert [line.split()[:3] for line in below[3:5]] == [
        ["across", "0", "clean"],
        ["across", "0", "jpeg_50"],
    ]


def test_a_page_goes_nowhere_but_where_it_was_said(hostile, item, tmp_path):
    done = item("show", "odd.yaml", NAME, "--html", "store/x.html", cwd=hostile)
    assert (done.returncode, "write into a store" in done.stderr) == (2, True)
    done = item("show", "odd.yaml", NAME, "--html", tmp_path / "x.html", cwd=hostile)
    assert done.returncode == 0
    text = (tmp_path / "x.html").read_text()
    assert "onerror=alert(2)&gt;" in text
    assert "<img src=x" not in text


def figures(path):
    """(What stands for it in words, its data) of each figure of a page."""
    text = path.read_text()
    alts = re.findall(r'<svg viewBox="[^"]*" role="img" aria-label="([^"]*)"', text)
    links = re.findall(r'href="data:text/csv;base64,([^"]*)"', text)
    rows = [csv.DictReader(io.StringIO(base64.b64decode(link).decode())) for link in links]
    return list(zip(alts, map(list, rows), strict=True))


def test_its_cosines_are_marked_in_the_distributions_of_all(shown, hostile, item, tmp_path):
    done = item("show", "odd.yaml", NAME, "--html", tmp_path / "x.html", cwd=hostile)
    assert done.returncode == 0, done.stderr
    ((alt, rows),) = figures(tmp_path / "x.html")
    ranks = {row["level"]: row for row in shown["tables"]["ranks"] if row["level"] != "object"}
    for level, rank in ranks.items():
        said = f"{level} cosine {rank['cosine']:.3f} (distance {rank['distance']:.3f})"
        assert f"{said}, above that of {rank['among_reals']:.1%} of the reals" in alt
        own = [row for row in rows if row["level"] == level]
        assert sum(int(row["reals"]) for row in own) == rank["reals"] + 1  # itself is one of them
        assert sum(int(row["fakes"]) for row in own) == rank["fakes"]
        assert sum(float(row["real_share"]) for row in own) == pytest.approx(1)
        edges = [float(row[name]) for row in own for name in ("bin_from", "bin_to")]
        assert min(edges) - 1e-4 <= rank["cosine"] <= max(edges) + 1e-4
        (marked,) = {float(row["cosine_of_image"]) for row in own}
        assert marked == pytest.approx(rank["cosine"])


def test_one_that_failed_says_why_and_has_no_figure(hostile, item, tmp_path):
    done = item("show", "odd.yaml", SCRIPT, "--html", tmp_path / "x.html", cwd=hostile)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "x.html").read_text()
    assert "It failed: " in text
    assert "No cosine of it is computed." in text
    assert figures(tmp_path / "x.html") == []


def test_short_path():
    assert short_path("/a/b/c.jpg", "/a/b") == "c.jpg"
    assert short_path("s3://x/c.jpg", "/a/b") == "s3://x/c.jpg"
    assert short_path("/a/bc/d.jpg", "/a/b") == "/a/bc/d.jpg"
