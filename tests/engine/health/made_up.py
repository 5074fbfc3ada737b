"""A stage that misbehaves on the images that files name, in whatever process runs it.

`on_path` puts it in the place of `parse`, for this process and those that it starts: Python reads
`sitecustomize` when it starts. The bundled decoders cannot be made to hang to order.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from pipeline import pulse, tables
from pipeline.spec import Parameters, Stage
from pipeline.stages import parse, registry

FOLDER = "ITEM_TEST_MADE_UP"  # the folder with files named after what is to happen

_SITE = """import os, sys
if os.path.exists(os.path.join(os.environ["ITEM_TEST_MADE_UP"], "no_start")):
    os._exit(1)
sys.path.insert(0, {root!r})
from pipeline.stages.registry import MODULES
MODULES["parse"] = "tests.engine.health.made_up"
"""


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a file `hang`, `stop`, `slow` or `assert` names image ids.

    A file `only_once` there makes the first two happen once, `no_start` keeps processes from
    starting.
    """
    site, folder = tmp_path / "site", tmp_path / "made_up"
    for one in (site, folder):
        one.mkdir()
    root = Path(__file__).resolve().parents[3]
    (site / "sitecustomize.py").write_text(_SITE.format(root=str(root)))
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    )
    monkeypatch.setitem(registry.MODULES, "parse", __name__)
    return folder


def run(inputs, parameters, models):
    ids = inputs["captions"]["image_id"].to_pylist()
    folder = Path(os.environ[FOLDER])

    def named(what):
        file = folder / what
        return file.exists() and bool(set(file.read_text().split()) & set(ids))

    if named("hang"):
        if (folder / "only_once").exists():
            (folder / "hang").unlink()
        (folder / "hanging").write_text(str(os.getpid()))
        time.sleep(3600)
    if named("stop"):
        if (folder / "only_once").exists():
            (folder / "stop").unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    if named("assert"):
        with (folder / "processes").open("a") as file:
            file.write(f"{os.getpid()} ")
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_…")
    if named("slow"):
        for _ in range(30):
            time.sleep(0.1)
            pulse.beat()
    return tables.build("objects", {"image_id": ids})


STAGE = Stage("parse", parse.STAGE.version, ("captions",), "objects", Parameters, run)
