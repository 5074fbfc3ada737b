"""Images that kill the process which judges them, or hang it, cost themselves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

import pipeline
from pipeline.predict import workers
from pipeline.predict.in_memory import InMemory
from pipeline.predict.inputs import found, table
from tests.conftest import draw, make_corpus
from tests.helpers import pixels
from tests.helpers.predicted import EXPERIMENT, with_experiments

# the width of a JPEG says what its decoder does, in whatever process: Python begins with this
DOES = {201: "opened SIGKILL", 202: "loaded SIGSEGV", 203: "opened hang"}
SITE = f"""
import os, signal, time
from PIL import Image, JpegImagePlugin

class Bad(JpegImagePlugin.JpegImageFile):
    def _open(self):
        super()._open()
        self._obey("opened")

    def load(self):
        self._obey("loaded")
        return super().load()

    def _obey(self, now):
        when, what = {DOES}.get(self.size[0], "never nothing").split()
        if when != now:
            return
        if what == "hang":
            with open(os.environ["ITEM_TEST_HUNG"], "a") as file:
                file.write(str(os.getpid()) + " ")
            time.sleep(3600)
        os.kill(os.getpid(), getattr(signal, what))

Image.register_open("JPEG", lambda stream, name: Bad(stream, name), JpegImagePlugin._accept)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, item):
    """A folder with a DAG of one node, `one.yaml`, its trained run and its store."""
    folder = tmp_path_factory.mktemp("poison")
    dag = pixels.write_dag(folder / "one.yaml", make_corpus(folder / "corpus"))
    with_experiments(dag, image={**EXPERIMENT, "features": ["image"], "baselines": []})
    done = item("run", dag, "--inline", "--no-report", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def bad(path: Path, what: str) -> None:
    """An image whose decoder does so when it is opened, or loaded."""
    (width,) = (width for width, does in DOES.items() if does == what)
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (width, 48), "teal").save(path)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Of processes in which decoders do what the width of an image says; this one is as it was."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    root = Path(pipeline.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{root}")
    monkeypatch.setenv("ITEM_TEST_HUNG", str(tmp_path / "hung"))


def run(*command, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_an_image_that_kills_the_process_is_a_failed_line(place, environment, tmp_path):
    draw(tmp_path / "in" / "good.jpg", 900)
    bad(tmp_path / "in" / "kills.jpg", "loaded SIGSEGV")
    command = ("-m", "pipeline", "predict", "one.yaml", "image", tmp_path / "in", "--json")
    code, answer, said = run(*command, cwd=place)
    assert "a process that judged ended by signal 11: once more, to find the image" in said
    good, kills = answer["tables"]["verdicts"]
    assert code == answer["exit"] == 1
    assert good["verdict"] in ("real", "fake", "unsure") and good["error"] is None
    assert kills["error"] == "Died: the process ended with status -11 on this image: no message"
    assert kills["verdict"] is None


def files(folder):
    return table(found([str(folder)], bytes))


def errors(listing):
    return {Path(row["uri"]).stem: row["error"] for row in listing.to_pylist()}


@pytest.mark.parametrize("others", [0, 2])
def test_nor_does_a_file_whose_header_does_it(environment, tmp_path, others):
    bad(tmp_path / "in" / "kills.jpg", "opened SIGKILL")
    for number in range(others):
        draw(tmp_path / "in" / f"{number}.jpg", 900 + number)
    given = files(tmp_path / "in")
    given = pa.concat_tables([given, given.slice(0, 1)])  # a file that is named twice
    listing, made = InMemory([], careful=True).of_files(given)
    assert listing["uri"].to_pylist() == given["uri"].to_pylist()
    why = "Died: the process ended with status -9 on this image: no message"
    assert errors(listing) == {"kills": f"transient: {why}"} | dict.fromkeys("01"[:others])
    assert len(made["images"]) == others


HANGING = """
import json, sys
from pipeline.predict.inputs import found, table
from pipeline.predict.workers import Workers
from pipeline.stages.listing import Listing

if __name__ == "__main__":
    files = table(found([sys.argv[1]], bytes))
    with Workers([], "clean", Listing(layout="unlabelled"), 1, stall=3.0) as pool:
        ((listing, _),) = pool.map([files], lambda images: None)
    print(json.dumps({row["uri"].rpartition("/")[2]: row["error"] for row in listing.to_pylist()}))
"""


def test_a_process_that_hangs_is_ended_and_the_image_found(environment, tmp_path):
    draw(tmp_path / "in" / "good.jpg", 910)
    bad(tmp_path / "in" / "hangs.jpg", "opened hang")
    (tmp_path / "judge.py").write_text(HANGING)
    _, said, _ = run(tmp_path / "judge.py", tmp_path / "in", cwd=tmp_path)
    why = "TookTooLong: took longer than 3s without a sign of life on this image"
    assert said == {"good.jpg": None, "hangs.jpg": why}
    hung = (tmp_path / "hung").read_text().split()
    assert len(hung) == 3  # a process of the pool; a child with both files, and one with this one
    for process in hung:
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


@pytest.mark.parametrize(("count", "processes"), [(1, 0), (64, 0), (65, 1), (128, 2), (9_000, 4)])
def test_few_files_take_no_process_beside(monkeypatch, count, processes):
    monkeypatch.setattr(workers, "default_workers", lambda nodes: 4)
    assert workers.fitting([], count) == processes
