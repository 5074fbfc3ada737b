"""`item predict` and `item export` as they are typed."""

import csv
import io
import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import draw

COUNTS = ("images", "judged", "failed")
WIPE = "\x1b[2J\x1b]0;owned\x07"


@pytest.fixture
def here(tmp_path):
    """A folder of two good images, a corrupt one, and one with transparency."""
    for number in range(2):
        draw(tmp_path / "in" / f"{number}.jpg", 600 + number)
    Image.new("RGBA", (30, 20), (200, 10, 10, 100)).save(tmp_path / "in" / "clear.png")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"\xff\xd8\xff no more")
    return tmp_path


def given(world, *words):
    """A command that judges in this process, where models are loaded already."""
    return ("predict", world.dag, *words, "--store", world.store, "--inline")


def test_a_table_of_verdicts_and_one_of_objects_and_exit_1_for_a_corrupt_file(
    world,
    item,
    here,
):
    done = item(*given(world, "cross", "in", "none.jpg"), cwd=here)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["path", "image_id", "verdict"]
    assert [line.split()[0] for line in lines[2:7]] == [
        *("in/0.jpg", "in/1.jpg", "in/bad.jpg", "in/clear.png", "none.jpg")
    ]
    assert "there is no such file or folder" in lines[6]
    assert "(5 rows)" in lines[7]
    assert "phrase" in lines[9]
    assert "likelier fake from" in lines[-1]
    assert "2 of 5 could not be judged" in done.stderr
    assert "run cross/" in done.stderr


def test_json_has_the_shape_of_every_command(world, item, here):
    done = item(*given(world, "cross", "in", "--json"), cwd=here)
    found = json.loads(done.stdout)
    assert done.returncode == found["exit"] == 1
    assert list(found["tables"]) == ["verdicts", "objects"]
    verdicts, objects = found["tables"]["verdicts"], found["tables"]["objects"]
    assert [one["path"] for one in verdicts] == [
        "in/0.jpg",
        "in/1.jpg",
        "in/bad.jpg",
        "in/clear.png",
    ]
    assert {one["path"] for one in objects} <= {one["path"] for one in verdicts}
    assert all(0 <= one["x0"] <= one["x1"] <= 1 for one in objects if one["error"] is None)
    assert set(found["facts"]) == {"experiment", "run_id", "method", "reals", "html", *COUNTS}
    assert (found["facts"]["images"], found["facts"]["failed"]) == (4, 1)


def test_files_by_their_suffix_hold_everything(world, item, here):
    (here / "list.txt").write_text("in/0.jpg\nin/clear.png\n")
    for name in ("x.csv", "x.parquet", "x.json", "x.md"):
        assert item(*given(world, "cross", "@list.txt", "--out", name), cwd=here).returncode == 0
    rows = list(csv.DictReader(io.StringIO((here / "x.csv").read_text())))
    assert [row["path"] for row in rows] == ["in/0.jpg", "in/clear.png"]
    table = pq.read_table(here / "x.parquet").to_pylist()
    whole = json.loads((here / "x.json").read_text())
    for row, own, third in zip(rows, table, whole, strict=True):
        assert float(row["probability"]) == own["probability"] == third["probability"]
        assert json.loads(row["objects"]) == third["objects"]
        assert len(own["objects"]) == own["num_objects"]
    done = item(*given(world, "cross", "@list.txt", "--format", "csv"), cwd=here)
    assert done.stdout == (here / "x.csv").read_text()


def test_a_page_goes_beside_the_answer_or_in_the_place_of_tables(world, item, here):
    alone = item(*given(world, "cross", "in", "--html", "v.html"), cwd=here)
    assert alone.returncode == 1
    size = (here / "v.html").stat().st_size / 1e3
    assert alone.stdout == f"v.html: {size:,.0f} kB\n"
    assert alone.stderr.splitlines()[-1] == "1 of 4 could not be judged"
    text = (here / "v.html").read_text()
    assert text.count("<img ") == 3
    assert "percentile" in text and "in/bad.jpg" in text
    (run,) = os.listdir(world.store / "runs" / "cross")
    assert f"cross/{run}" in text
    done = item(*given(world, "cross", "in", "--html", "w.html", "--json"), cwd=here)
    assert json.loads(done.stdout)["facts"]["html"] == "w.html"
    words = ("--html", "x.html", "--out", "x.csv")
    done = item(*given(world, "cross", "in/0.jpg", *words), cwd=here)
    assert (done.returncode, done.stdout) == (0, "")
    assert len((here / "x.csv").read_text().splitlines()) == 2
    assert (here / "w.html").is_file() and (here / "x.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cross"], "there is nothing to judge"),
        ([], "which run judges"),
        (["crss", "in"], "did you mean 'cross'?"),
        (["cross", "in", "--method", "k-NN"], "cannot judge new images"),
        (["cross", "in", "--set", "captions.num_beams=1"], "the run was made from"),
        (["cross", "in", "--out", "x.jpg"], "names no format"),
        (["cross", "in", "--out", "STORE/x.csv"], "would write into a store"),
        (["cross", "in", "--html", "STORE/x.html"], "--html would write into a store"),
        (["cross", "in", "--html", "no/x.html"], "--html is in a folder that does not exist"),
        (["cross", "in", "--out", "no/x.csv"], "--out is in a folder that does not exist"),
        (["cross", "in", "--workers", "2"], "leave --workers out"),
        (["cross", "in", "--stall", "10"], "'10' is no duration"),
        (["cross", "in", "--json", "--out", "x.csv"], "leave --format, --out out"),
        (["", "in"], "there is no run ''"),
        (["../../etc", "in"], "there is no run '../../etc'"),
    ],
)
def test_mistakes_are_said_in_words(world, item, here, words, said):
    words = [word.replace("STORE", str(world.store)) for word in words]
    done = item(*given(world, *words), cwd=here)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert ("--json" in words) is bool(done.stdout)


def test_a_run_is_known_by_its_id_and_by_beginnings(world, item, here):
    (run,) = os.listdir(world.store / "runs" / "cross")
    for word in (
        run,
        run[:5],
        "cro",
        f"cross/{run[:3]}",
        str(world.store / "runs" / "cross" / run),
    ):
        done = item(*given(world, word, "in/0.jpg"), cwd=here)
        assert done.returncode == 0, done.stderr
        assert f"run cross/{run}" in done.stderr


def test_the_dag_of_the_folder_needs_no_name(world, item, here):
    done = item("predict", "cross", here / "in" / "0.jpg", "--inline", cwd=world.folder)
    assert done.returncode == 0, done.stderr


def test_an_export_stands_for_dag_and_run(world, item, here):
    done = item("export", world.dag, "cross", "--store", world.store, cwd=here)
    assert done.returncode == 0, done.stderr
    (place,) = here.glob("cross-*.zip")
    assert f"{place.name}: written. Next: `item predict {place.name} FILES`" in done.stdout
    own = item(*given(world, "cross", "in", "--json"), cwd=here)
    other = item("predict", place.name, "in", "--json", "--inline", cwd=here)
    assert json.loads(other.stdout)["store"] is None
    assert json.loads(other.stdout)["tables"] == json.loads(own.stdout)["tables"]
    again = item("export", world.dag, "cross", "--store", world.store, cwd=here)
    assert again.returncode == 2
    assert "something of this name already" in again.stderr
    answer = item(
        *("export", world.dag, "cross", "--store", world.store, "--out", "x", "--json"), cwd=here
    )
    assert json.loads(answer.stdout)["facts"]["path"] == str(here / "x")
    assert item("predict", "none.zip", "in", cwd=here).returncode == 2


def test_names_and_captions_are_never_obeyed_by_the_terminal(world, item, here):
    draw(here / f"a{WIPE}.jpg", 9)
    (here / f"\u202egpj{WIPE}.jpg").write_bytes(b"none")
    for words in ([], ["--json"]):
        done = item(*given(world, "cross", ".", f"none{WIPE}.jpg", *words), cwd=here)
        assert done.returncode == 1
        assert not set(done.stdout + done.stderr) & set("\x1b\x07"), words
    assert "\u202e" not in item(*given(world, "cross", "."), cwd=here).stdout


@pytest.mark.parametrize("where", ["here", "apart"])
def test_ctrl_c_keeps_what_was_judged(world, here, where):
    for number in range(40):
        draw(here / "many" / f"{number}.jpg", 700 + number)
    code = (
        "import pipeline.predict.detector as d, os, signal, sys\n"
        "d._CHUNK = d._LEAST = d._MOST = 8\n"
        "old = d.Detector._verdicts\n"
        "def slow(self, files, *rest):\n"
        "    if files[0].path != first[0]: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return old(self, files, *rest)\n"
        "first = ['many/0.jpg']\n"
        "d.Detector._verdicts = slow\n"
        "from pipeline.cli.app import main\n"
        "if __name__ == '__main__': main()\n"
    )
    words = [str(word) for word in given(world, "cross", "many", "--out", "x.csv")]
    words += ["--html", "x.html"]
    if where == "apart":
        words.remove("--inline")
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=here, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted: 8 of 40 images were judged" in done.stderr
    assert "Traceback" not in done.stderr
    assert len((here / "x.csv").read_text().splitlines()) == 9
    assert "Interrupted: 8 of 40 were judged." in (here / "x.html").read_text()
