"""Runs on images in a variant, and DAGs whose captions the user brought."""

import csv
import shutil

import pytest
import yaml

from pipeline.errors import UserError
from pipeline.predict.detector import Detector
from tests.conftest import draw, make_corpus, make_dag
from tests.helpers.predicted import EXPERIMENT, with_experiments
from tests.predict.test_detector import cached

LEAN = {**EXPERIMENT, "features": ["global"], "baselines": ["cosine"]}


@pytest.fixture(scope="module")
def other(tmp_path_factory, item):
    """A DAG of captions from a file, by path; runs on clean images, and on JPEGs of quality 50."""
    folder = tmp_path_factory.mktemp("other")
    corpus = make_corpus(folder / "corpus")
    paths = sorted(str(path.relative_to(corpus)) for path in corpus.rglob("*.jpg"))
    with (folder / "said.csv").open("w") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "caption"])
        writer.writerows((path, f"a ball and a cube, number {n}") for n, path in enumerate(paths))
    dag = make_dag(folder / "other.yaml", corpus, name="other")
    raw = yaml.safe_load(dag.read_text())
    raw["corpus"]["variants"] = {"all": ["jpeg_50"]}
    raw["nodes"]["captions"] = {
        "stage": "provided",
        "images": "images",
        "file": "said.csv",
        "key": "path",
    }
    dag.write_text(yaml.safe_dump(raw, sort_keys=False))
    with_experiments(dag, plain=LEAN, jpeg={**LEAN, "variant": "jpeg_50"})
    done = item("run", dag, "--inline", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("run", ["plain", "jpeg"])
def test_images_are_judged_in_the_variant_of_the_run(other, run):
    detector = Detector.load(run, str(other / "other.yaml"), other / "store", "global")
    expected = cached(detector.meant.trained.folder, "global")
    found = detector(other / "corpus" / "test" / "flow").to_pylist()
    assert len(found) == len(expected) == 6
    for row in found:
        assert row["error"] is None
        suffix = "-jpeg_50" if run == "jpeg" else ""
        assert len(row["image_id"]) == 32
        assert row["uncalibrated"] == pytest.approx(expected[row["image_id"] + suffix], abs=1e-4)
        assert row["caption"].startswith("a ball and a cube")
        assert 0 <= row["percentile"] <= 100


def test_an_image_that_the_file_of_captions_does_not_name_fails_in_words(other, tmp_path):
    detector = Detector.load("plain", str(other / "other.yaml"), other / "store")
    new = draw(other / "corpus" / "new.jpg", 800)
    try:
        (row,) = detector(new).to_pylist()
    finally:
        new.unlink()
    assert row["verdict"] is None
    assert "new.jpg" in row["error"]
    known = next((other / "corpus").rglob("*.jpg"))
    with pytest.raises(UserError, match="so it has no path there"):
        detector(shutil.copy(known, tmp_path / "elsewhere.jpg"))
