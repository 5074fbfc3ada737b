"""Another copy of the package, and a package of somebody else's that has its name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import pipeline
from pipeline.dag.graph import load
from pipeline.shipped import folder, portable
from tests.conftest import draw

PACKAGE = Path(pipeline.__file__).parent
CHILD = """
from pipeline.engine import child
from pipeline.engine.child import Patience
from pipeline.stages.registry import get_stage
from tests.helpers.images import images_table
stage = get_stage("images")
rows = images_table({"image_id": ["1" * 32], "uri": ["a"], "variant": ["jpeg_50"]})
table = child.run(stage, stage.parameters(), {"images": rows}, Patience(), 1.0)
assert table.num_rows == 1, table
"""
DECODERS = """
if __name__ == "__main__":
    from pipeline.corpus.decoders import Decoders
    one = Decoders(2)
    assert one._pool.submit(int, "7").result(60) == 7
    # what the fork server has imported, its children have
    import pipeline.corpus.decoders as room
    assert one._pool.submit(room.begin).result(60) is None
    one.close()
"""


@pytest.fixture
def theirs(tmp_path):
    """A folder with somebody's own `pipeline`, which leaves a mark where it is imported."""
    (tmp_path / "pipeline").mkdir()
    mark = tmp_path / "imported"
    (tmp_path / "pipeline" / "__init__.py").write_text(f"open({str(mark)!r}, 'a').close()\n")
    return tmp_path


@pytest.mark.parametrize("script", [CHILD, DECODERS])
def test_processes_import_this_copy_wherever_they_are_begun(theirs, script, tmp_path):
    file = tmp_path / "sub" / "script.py"
    file.parent.mkdir()
    file.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, file], cwd=theirs, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (theirs / "imported").exists()


@pytest.fixture
def installed(tmp_path):
    """This package as `pip install .` leaves it: shipped files inside, without `pipeline.demo`."""
    site = tmp_path / "site"
    shutil.copytree(
        PACKAGE, site / "pipeline", ignore=shutil.ignore_patterns("__pycache__", "demo")
    )
    shipped = site / "pipeline" / "_shipped"
    shipped.mkdir()
    for name in ("dags", "sql"):
        shutil.copytree(folder(name), shipped / name)
    shutil.copytree(folder("data"), shipped / "data", ignore=shutil.ignore_patterns("corpus"))
    draw(shipped / "data" / "demo" / "corpus" / "test" / "gan" / "0_real" / "0.jpg", 1)
    return site


def test_an_installed_copy_and_a_clone_have_the_same_cache(installed, tmp_path):
    code = (
        "from pipeline.dag.graph import load\n"
        "print(*(f'{n.name}={n.fingerprint}' for n in load('demo').nodes.values()), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    theirs = dict(line.split("=") for line in done.stdout.split())
    assert theirs == {node.name: node.fingerprint for node in load("demo").nodes.values()}


def test_only_bundled_data_is_the_same_everywhere(tmp_path):
    data = folder("data").resolve()
    assert portable(str(data / "demo" / "corpus")) == "item:data/demo/corpus"
    for other in (str(tmp_path), f"{data}x/demo", "s3://bucket/data"):
        assert portable(other) == other


def test_python_in_a_clone_finds_what_the_installed_command_made(installed, tmp_path):
    """As README has it: `item run demo`, and then `open_store("demo")` in the same folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    run = [sys.executable, "-m", "pipeline", "run", "demo", "--inline", "--until", "images"]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = "from pipeline import open_store; print(open_store('demo').sql('from images').shape[0])"
    here = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=here, capture_output=True, text=True
    )
    assert asked.stdout.strip() == "1", asked.stderr


def test_a_wheel_has_all_but_what_made_the_bundled_models():
    builder = WheelBuilder(str(PACKAGE.parent))
    files = {Path(one.distribution_path) for one in builder.recurse_included_files()}
    ours = {path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py")}
    made = {path for path in ours if path.parts[1] == "demo"}
    assert made and not made & files
    assert ours - made <= files
    assert not any("pipeline/demo" in str(path) for path in files)
    shipped = Path("pipeline/_shipped")
    for name in (
        "dags/demo.yaml",
        "sql/queries/hypothesis.sql",
        "data/demo/models/parser/meta.json",
    ):
        assert shipped / name in files
