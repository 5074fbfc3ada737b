"""Several runs of the real command on one store, at the same time."""

import signal
import subprocess
import sys
import time
from contextlib import suppress

import pyarrow as pa

from pipeline.dag.graph import load
from pipeline.store.parts import Store
from tests.helpers import pixels

OPTIONS = ("--inline", "--until", "image_embeddings")


def claimant(store, runs):
    """The one of `runs` that has a part of the node first."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for claim in store.glob("pixels/*/.claim-part-*"):
            with suppress(FileNotFoundError):  # given back
                said = claim.read_text()
                for run in runs:
                    if f" process {run.pid} on " in said:
                        return run
        time.sleep(0.005)
    raise AssertionError("no run has claimed a part")


def test_runs_share_a_nodes_parts_and_go_on_for_one_that_is_killed(corpus, tmp_path):
    path = pixels.write_dag(tmp_path / "small.yaml", corpus, part_size=1, seconds=0.1)
    store = tmp_path / "shared"
    command = [sys.executable, "-m", "pipeline", "run", str(path), *OPTIONS, "--store", str(store)]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    claimant(store, runs).send_signal(signal.SIGKILL)
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [-9, 0, 0], said
    dag, cache = load(str(path)), Store(store)
    images, vectors = dag.nodes["images"], dag.nodes["image_embeddings"]
    names = [part.name for part in cache.parts(images)]
    assert len(names) == 12 and [part.name for part in cache.parts(vectors)] == names
    ids, found = (
        pa.concat_tables(cache.read(node.folder, name, ["image_id", "error"]) for name in names)
        for node in (images, vectors)
    )
    assert found.equals(ids) and found["error"].null_count == 12
    assert any("going on with what process" in text for text in said)
    assert not any(store.glob("*/*/.claim-*")) and not any(store.glob("*/*/.tmp-*"))
