"""The five plugins of `pipeline/README.md`, in a folder outside the repository: run, ask, train."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.shipped import folder
from tests.conftest import draw, make_dag
from tests.helpers.readme import blocks

README = folder("dags").parent / "pipeline" / "README.md"
EACH = 4


def shown():
    """File name -> text, of the blocks that are plugins."""
    found = [one.text for one in blocks(README) if one.language == "python"]
    return {text.split()[1]: text for text in found if text.startswith("# ") and ".py" in text[:40]}


def test_each_is_a_file_of_under_40_lines():
    assert sorted(shown()) == [
        *("colours.py", "sharp.py", "sharpness.py", "trees.py", "year_folders.py"),
    ]
    assert all(len(text.splitlines()) < 40 for text in shown().values())


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a corpus, five plugins and a DAG file."""
    place = tmp_path_factory.mktemp("lab")
    for name, text in shown().items():
        (place / name).write_text(text)
    for number, source in enumerate(("camera", "flow-2024", "gan-2020")):
        for split in ("train", "test"):
            for i in range(EACH):
                seed = 100 * number + 10 * i + (split == "test")
                draw(place / "photos" / source / split / f"{i}.jpg", seed)
    (block,) = (b for b in blocks(README) if b.language == "yaml" and "plugins:" in b.text)
    dag = make_dag(place / "mine.yaml", place / "photos")
    raw, own = yaml.safe_load(dag.read_text()), yaml.safe_load(block.text)
    raw["plugins"] = own["plugins"]
    raw["corpus"] = {**own["corpus"], "part_size": 5}
    raw["nodes"] |= own["nodes"]
    raw["experiments"] = {"sharp": own["experiments"]["sharp"] | {"bootstrap": 0}}
    raw["experiments"]["sharp"] |= {"head": {"epochs": 2, "least_steps": 1}, "neighbours": 1}
    dag.write_text(yaml.safe_dump(raw, sort_keys=False))
    return place


@pytest.fixture(scope="module")
def asked(here, item):
    """What an `item` command says there, in words or by --json."""

    def ask(*words: str, cwd: Path = here, fails: bool = False) -> str:
        done = item(*words, cwd=cwd)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if "--json" in words else done.stdout + done.stderr

    return ask


@pytest.fixture(scope="module")
def ran(here, item_process):
    """What `item run` said, with a worker process."""
    done = item_process("run", "mine.yaml", "--workers", "1", "--no-report", cwd=here)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def rows(asked, ran):
    """The rows of an answer."""
    return lambda sql: asked("query", "mine.yaml", sql, "--format", "csv").splitlines()[1:]


@pytest.fixture
def planned(asked, ran):
    """Node -> images that a run would compute."""

    def plan() -> dict[str, int]:
        steps = json.loads(asked("plan", "mine.yaml", "--json"))["tables"]["nodes"]
        return {step["node"]: step["images"] for step in steps if step["images"]}

    return plan


@contextmanager
def changed(file: Path, old: str, new: str) -> Iterator[None]:
    """Another line in a file, for a while."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


def test_all_five_have_their_say(rows, ran):
    columns = "label, generator, split, class_name"
    assert rows(f"select {columns}, count(*) from listing group by all order by all") == [
        *("0,camera,test,,4", "0,camera,train,,4"),
        *("1,flow,test,2024,4", "1,flow,train,2024,4"),
        *("1,gan,test,2020,4", "1,gan,train,2020,4"),
    ]
    captions = rows("select distinct caption, num_tokens from captions order by 1")
    assert captions == ["a bright object in front of a wall,", "a dark object in front of a wall,"]
    counts = "select count(*), count(sharpness), count(error) from sharpness"
    assert rows(counts) == ["24,24,0"]
    methods = rows("select distinct method from runs")
    assert {"global", "sharp", "global+sharp", "trees", "linear probe"} <= set(methods)
    assert "trees" in ran


def test_numbers_are_those_of_the_file(here, rows):
    first = here / "photos" / "camera" / "train" / "0.jpg"
    grey = np.asarray(Image.open(first).convert("RGB").convert("L").resize((128, 128)), np.float32)
    name = f"where uri = '{first}'"
    (value,) = rows(f"select sharpness from sharpness join listing using (image_id) {name}")
    assert float(value) == pytest.approx(float(np.abs(np.diff(grey, axis=0)).mean()), rel=1e-5)


def test_a_second_run_computes_nothing_and_a_changed_line_what_it_makes(here, asked, planned):
    assert planned() == {}
    with changed(here / "sharpness.py", "axis=0", "axis=1"):
        assert planned() == {"sharpness": 24}
        assert "the plugin's source" in asked("plan", "mine.yaml")
    with changed(here / "colours.py", "a wall", "a hedge"):
        again = planned()
        assert again["captions"] == again["objects"] == 24 and "image_embeddings" not in again
    with changed(here / "year_folders.py", 'name == "camera" else', 'name == "gan" else'):
        said = asked("plan", "mine.yaml")
        assert "gan-2020/test    real" in said and "the plugin's source" in said
        assert planned() == {}  # labels are no reason to open an image
    assert planned() == {}


def test_a_run_judges_new_images_and_refuses_another_source(here, ran, asked, tmp_path):
    new = str(draw(tmp_path / "new.jpg", 7))
    words = ("predict", "mine.yaml", "sharp", new, "--method", "global+sharp")
    (verdict,) = json.loads(asked(*words, "--json"))["tables"]["verdicts"]
    assert 0 <= verdict["probability"] <= 1 and verdict["caption"].startswith("a ")
    said = asked(*words[:-1], "trees", fails=True)
    assert "'trees' cannot judge new images: what a plugin has fitted is not kept" in said
    with changed(here / "sharp.py", "log1p(values)", "sqrt(values)"):
        assert "the plugin's feature sharp is" in asked(*words, fails=True)
    asked("export", "mine.yaml", "sharp", "--out", str(tmp_path / "mine.zip"))
    refused = asked("predict", "mine.zip", new, cwd=tmp_path, fails=True)
    assert "plugins, which are not part of it" in refused and "--set plugins=" in refused
    given = "plugins=[" + ", ".join(str(here / name) for name in shown()) + "]"
    words = ("predict", "mine.zip", new, "--method", "global+sharp", "--set", given, "--json")
    (same,) = json.loads(asked(*words, cwd=tmp_path))["tables"]["verdicts"]
    assert same["probability"] == pytest.approx(verdict["probability"], abs=1e-6)


def test_an_exports_own_plugins_are_never_run(here, ran, asked, tmp_path):
    asked("export", "mine.yaml", "sharp", "--out", str(tmp_path / "mine"))
    (tmp_path / "mine" / "evil.py").write_text("raise SystemExit(99)")
    dag = tmp_path / "mine" / "dag.yaml"
    dag.write_text(dag.read_text() + "plugins: [./evil.py]\n")
    new = str(draw(tmp_path / "new.jpg", 7))
    said = asked("predict", str(tmp_path / "mine"), new, fails=True)
    assert "its DAG names plugins, which would run" in said
