"""Shared fixtures: a small corpus on disk, and a DAG file whose model folders can be changed."""

import gc
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.main import get_command

from pipeline import tables
from pipeline.cli.app import app
from pipeline.plugins import offered
from pipeline.shipped import folder
from tests.helpers.demo import LIMITED, QUICK

# As in a run of one's own process, `--inline`, and read when torch is imported. Threads of two
# workers of pytest that wait for each other on two cores take ten times as long.
os.environ["OMP_NUM_THREADS"] = "1"

# What a power cut leaves is nothing that a test can see; waiting for the disk took a tenth of the
# time. Processes of their own wait.
os.fsync = lambda handle: None

# a busy machine makes no example wrong
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

COMMAND = get_command(app)  # once: `app` builds it anew each time
DEMO_MODELS = folder("data") / "demo" / "models"
FIRST = ("engine", "whole", "setup", "predict", "cli")  # rooms of tests that take long
# what files of tests that share a store begin with: one process makes it once
TOGETHER = (
    ("cli/test_predict", "predict/test_bundle", "predict/test_detector", "predict/test_workers"),
    (
        *("cli/test_app", "cli/test_damaged_part", "cli/test_without_models"),
        *("pages/test_browser", "pages/test_report", "pages/test_show"),
    ),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test that waits for a process leaves its core idle."""
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", len(os.sched_getaffinity(0)) + 1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file to one worker, as those that share a store are; another --dist as it is."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Stores(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            begin = file.removeprefix("tests/")
            return next((group[0] for group in TOGETHER if begin.startswith(group)), file)

    return Stores(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What collecting makes (modules, tests, libraries) stays: never look for garbage in it."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests first, so that none of them is alone at the end."""
    here = Path(__file__).parent
    rooms = dict(zip(FIRST, range(len(FIRST)), strict=True))
    items.sort(key=lambda item: rooms.get(item.path.relative_to(here).parts[0], len(FIRST)))


def draw(path: Path, seed: int, size: int = 48) -> Path:
    """Writes a small colourful JPEG that no other seed gives."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize((size, size), Image.Resampling.NEAREST).save(path, quality=90)
    return path


def make_corpus(root: Path) -> Path:
    """Twelve images in ForenSynths layout: two generators, three reals and three fakes each."""
    for g, generator in enumerate(("gan", "flow")):
        for label, name in enumerate(("0_real", "1_fake")):
            for i in range(3):
                draw(root / "test" / generator / name / f"{i}.jpg", 100 * g + 10 * label + i)
    return root


def make_dag(
    path: Path, corpus: Path, part_size: int = 5, models: Path = DEMO_MODELS, name: str = "small"
) -> Path:
    """Writes the demo's nodes as a DAG over `corpus`, with the bundled models or given folders."""
    raw = yaml.safe_load((folder("dags") / "demo.yaml").read_text())
    raw["name"] = name
    raw["corpus"] = {
        "root": str(corpus),
        "layout": "forensynths",
        "dataset": "small",
        "part_size": part_size,
    }
    del raw["experiments"]
    raw["nodes"]["captions"]["model"] = str(models / "captioner")
    raw["nodes"]["objects"]["model"] = str(models / "parser")
    for node in raw["nodes"].values():
        if "clip" in node:
            node["clip"] = {"model": f"local-dir:{models / 'clip'}"}
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """What one file's tests load of plugins (and their tables) is not there in the next file's."""
    kept = [(known, dict(known)) for known in (offered._known, tables.COLUMNS)]
    yield
    for known, before in kept:
        known.clear()
        known.update(before)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of twelve images that a test may change."""
    return make_corpus(tmp_path / "corpus")


@pytest.fixture
def write_dag(tmp_path: Path, corpus: Path) -> Callable[..., Path]:
    """`make_dag` over `corpus`."""

    def write(name: str = "small", **settings: object) -> Path:
        return make_dag(tmp_path / f"{name}.yaml", corpus, name=name, **settings)

    return write


@pytest.fixture
def fake_models(tmp_path: Path) -> Path:
    """Folders that can be identified (hashed) but not loaded: enough for plans and fingerprints."""
    root = tmp_path / "models"
    for name in ("clip", "captioner", "parser"):
        (root / name).mkdir(parents=True)
        (root / name / "weights.txt").write_text(name)
    meta = {"lang": "en", "name": "fake", "version": "1.0"}
    (root / "parser" / "meta.json").write_text(json.dumps(meta))
    return root


Answer = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def item_process() -> Callable[..., Answer]:
    """Runs the real `item` entry point in a process of its own."""

    def run(*arguments: object, cwd: Path, timeout: int = 240, **options: object) -> Answer:
        command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=timeout, **options
        )

    return run


@pytest.fixture(scope="session")
def item() -> Callable[..., Answer]:
    """Runs the `item` command in this process, where libraries and models are loaded once.

    What needs a process of its own (an environment, signals, workers that fork) asks for
    `item_process`.
    """

    def run(*arguments: object, cwd: Path) -> Answer:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "12")
        words = [str(argument) for argument in arguments]
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            try:
                COMMAND(words, prog_name="item")
                code = 0
            except SystemExit as end:
                code = end.code or 0
            except Exception:
                traceback.print_exc()
                code = 1
        said = [stream.buffer.getvalue().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(words, code, *said)

    return run


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, item: Callable[..., Answer]) -> Any:
    """A small store with trained runs, made once: `tests.helpers.predicted.World`."""
    from tests.helpers.predicted import make_world

    return make_world(tmp_path_factory.mktemp("world"), item)


@pytest.fixture(scope="session")
def part_of_demo(tmp_path_factory: pytest.TempPathFactory, item: Callable[..., Answer]) -> Any:
    """A folder with a store of the demo's first images, and what `item run` said."""
    folder = tmp_path_factory.mktemp("demo")
    answer = item("run", "demo", *LIMITED, "--inline", *QUICK, cwd=folder)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return folder, answer


def rows(answer: subprocess.CompletedProcess[str]) -> list[dict]:
    """The rows of an `item query … --format json`."""
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)
