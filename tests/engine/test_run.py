"""Whole runs with the bundled models on a small corpus: the same tables, however computed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.store.parts import Store
from tests.conftest import DEMO_MODELS, draw, make_corpus, make_dag
from tests.helpers import pixels
from tests.helpers.hostile import empty_png, png

RUN = [sys.executable, "-m", "pipeline", "run"]
NODES = [
    "listing",
    "images",
    "captions",
    "objects",
    "regions",
    "image_embeddings",
    "text_embeddings",
    "object_embeddings",
    "misalignment",
    "features",
]


def contents(dag_path, store_path) -> dict[str, pa.Table]:
    """Every node's rows, whatever their parts."""
    dag, store = load(str(dag_path)), Store(store_path)
    out = {}
    for name in NODES:
        node = dag.nodes[name]
        parts = [store.read(node.folder, path.name) for path in store.parts(node)]
        out[name] = pa.concat_tables(parts) if parts else None
    return out


def assert_same(one: dict[str, pa.Table], other: dict[str, pa.Table], until: str = "") -> None:
    for name in NODES[: NODES.index(until) + 1] if until else NODES:
        assert one[name] is not None, name
        assert one[name].schema.equals(other[name].schema), name
        pairs = zip(one[name].to_pylist(), other[name].to_pylist(), strict=True)
        assert not [(a, b) for a, b in pairs if a != b], name


@pytest.fixture(scope="module")
def finished(item, tmp_path_factory):
    """An undisturbed in-process run: the reference. Its corpus stays as it is."""
    here = tmp_path_factory.mktemp("finished")
    path = make_dag(here / "small.yaml", make_corpus(here / "corpus"))
    answer = item("run", path, "--inline", "--store", "reference", cwd=here)
    assert answer.returncode == 0, answer.stderr
    return path, contents(path, here / "reference"), answer


def test_every_table_has_every_image_and_reconciles(finished):
    _, found, answer = finished
    assert found["listing"].num_rows == 12
    ids = set(found["images"]["image_id"].to_pylist())
    assert len(ids) == 12
    for name, table in found.items():
        tables.check(name, table)
        if "image_id" in table.column_names:
            assert set(table["image_id"].to_pylist()) == ids, name
        assert table["error"].null_count == table.num_rows, name
    lines = {line.split()[0]: line.split() for line in answer.stdout.splitlines() if line.strip()}
    for name in set(NODES) - {"text_embeddings"}:
        assert lines[name][1:5] == ["3/3", "12", "12", "0"], name


def test_the_default_cluster_gives_the_same_tables(finished, item_process, tmp_path):
    path, expected, _ = finished
    answer = item_process("run", path, "--workers", "2", "--store", "clustered", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert_same(expected, contents(path, tmp_path / "clustered"))


def test_part_size_does_not_change_a_row(finished, item, tmp_path):
    small, expected, _ = finished
    path = make_dag(tmp_path / "one.yaml", small.parent / "corpus", part_size=12)
    assert item("run", path, "--inline", "--store", "one", cwd=tmp_path).returncode == 0
    other = contents(path, tmp_path / "one")
    for name in set(NODES) - {"text_embeddings"}:
        embedding = [c for c in ("embedding", "global", "local") if c in other[name].column_names]
        scalars = [c for c, kind in tables.COLUMNS[name].items() if kind != pa.float32()]
        scalars = [c for c in scalars if c not in embedding]
        assert expected[name].select(scalars).equals(other[name].select(scalars)), name
        for column in embedding:
            one, two = (tables.matrix(t[column])[0] for t in (expected[name], other[name]))
            assert np.abs(one - two).max() < 1e-3, (name, column)


def test_a_second_run_does_nothing_and_new_files_get_new_parts(write_dag, item, corpus, tmp_path):
    path, reference = write_dag(), tmp_path / "reference"
    assert item("run", path, "--inline", "--store", reference, cwd=tmp_path).returncode == 0
    before = {p: p.stat().st_mtime_ns for p in reference.rglob("*.parquet")}
    again = item("run", path, "--inline", "--store", reference, "--json", cwd=tmp_path)
    assert again.returncode == 0
    assert {p: p.stat().st_mtime_ns for p in reference.rglob("*.parquet")} == before
    draw(corpus / "test" / "gan" / "1_fake" / "aaa.jpg", 999)
    plan = item("plan", path, "--store", reference, "--json", cwd=tmp_path)
    steps = {step["node"]: step for step in json.loads(plan.stdout)["tables"]["nodes"]}
    assert steps["captions"]["images"] == 1 and "1 new file" in steps["captions"]["reason"]
    grown = item("run", path, "--inline", "--store", reference, "--json", cwd=tmp_path)
    assert {t["node"]: t["rows_in"] for t in json.loads(grown.stdout)["tables"]["nodes"]}[
        "captions"
    ] == 13
    assert before.items() <= {p: p.stat().st_mtime_ns for p in reference.rglob("*.parquet")}.items()


def test_broken_files_are_failed_rows_at_every_node(item, write_dag, corpus, tmp_path):
    folder = corpus / "test" / "gan" / "0_real"
    good = (folder / "0.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "words.png").write_text("not an image")
    (folder / "copy.jpg").write_bytes(good)
    path = write_dag(part_size=8)
    answer = item("run", path, "--inline", "--store", "s", "--json", cwd=tmp_path)
    assert answer.returncode == 1 and "rows failed" in answer.stderr
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    assert totals["listing"]["rows_in"] == 16 and totals["images"]["rows_in"] == 15
    for name in ("captions", "objects", "image_embeddings", "misalignment", "features"):
        assert (totals[name]["rows_in"], totals[name]["rows_failed"]) == (15, 3), name
        assert totals[name]["rows_ok"] == 12
    found = contents(path, tmp_path / "s")
    failed = found["features"].filter(found["features"]["error"].is_valid())
    assert failed["global"].null_count == 3
    assert any("truncated" in error for error in failed["error"].to_pylist())


def test_killed_at_random_moments_and_run_again_the_tables_are_the_same(finished, item, tmp_path):
    path, expected, _ = finished
    store = tmp_path / "killed"
    # die as soon as that many parts are there
    for parts, how in ((1, "--workers=2"), (8, "--workers=2"), (16, "--inline")):
        process = subprocess.Popen(
            [*RUN, str(path), how, "--store", str(store)],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if sum(1 for _ in store.rglob("part-*.parquet")) >= parts:
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait(60)
    answer = item("run", path, "--inline", "--store", store, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert_same(expected, contents(path, store))
    assert [p.name for p in store.rglob(".tmp-*")] == []


def test_two_nodes_with_one_recipe_share_their_parts(item, write_dag, tmp_path):
    """The first step of an ablation is a copy: it must neither wait for itself nor work twice."""
    path = write_dag(part_size=12)
    twin = "nodes:\n  captions_b: {stage: caption, images: images, model: MODEL, num_beams: 3}\n"
    twin = twin.replace("MODEL", str(DEMO_MODELS / "captioner"))
    path.write_text(path.read_text().replace("nodes:\n", twin, 1))
    answer = item("run", path, "--inline", "--store", "s", "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    assert totals["captions"]["rows_ok"] == totals["captions_b"]["rows_ok"] == 12
    assert len(list((tmp_path / "s" / "caption").iterdir())) == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_scheduler_and_a_worker_started_by_hand_give_the_same_tables(
    finished, item_process, tmp_path
):
    path, expected, _ = finished
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rsplit(":", 1)[1]
    dask = [sys.executable, "-m", "dask"]
    commands = [
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"],
        [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"],
    ]
    processes = [
        subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands
    ]
    try:
        where = ("--scheduler", address, "--store", "far", "--until", "captions")
        answer = item_process("run", path, *where, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        children = [c for p in processes for c in psutil.Process(p.pid).children(recursive=True)]
        assert children and max(c.memory_info().rss for c in children) < 2.5 * 2**30
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)
    assert_same(expected, contents(path, tmp_path / "far"), "captions")


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(write_dag, tmp_path):
    path = write_dag(part_size=1)
    store = tmp_path / "stopped"
    process = subprocess.Popen(
        [*RUN, str(path), "--until", "captions", "--workers", "1", "--store", str(store)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(Path(store).rglob("caption/*/part-*.parquet")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to go on" in stderr and "Traceback" not in stderr
    assert any(store.rglob("part-*.parquet"))


POISON = """
import os
from PIL import JpegImagePlugin as plugin
load = plugin.JpegImageFile.load
def deadly(self, *args, **kwargs):
    if self.getexif().get(0x010E) == "poison":
        os.kill(os.getpid(), 9)
    return load(self, *args, **kwargs)
plugin.JpegImageFile.load = deadly
"""


def test_an_image_that_kills_its_worker_costs_one_row(item_process, corpus, tmp_path):
    """As when a decoder crashes: there is no exception, the process is gone."""
    victim = corpus / "test" / "gan" / "0_real" / "1.jpg"
    words = Image.Exif()
    words[0x010E] = "poison"  # its description
    Image.open(victim).save(victim, exif=words)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    here = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    path = pixels.write_dag(tmp_path / "small.yaml", corpus, part_size=2)
    options = ("--until", "image_embeddings", "--workers", "2", "--store", "s", "--json")
    answer = item_process(
        "run", path, *options, cwd=tmp_path, env={**os.environ, "PYTHONPATH": here}
    )
    assert answer.returncode == 1, answer.stderr
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    total = totals["image_embeddings"]
    assert (total["rows_in"], total["rows_ok"], total["rows_failed"]) == (12, 11, 1)
    dag, store = load(str(path)), Store(tmp_path / "s")
    node = dag.nodes["image_embeddings"]
    table = pa.concat_tables(store.read(node.folder, part.name) for part in store.parts(node))
    (error,) = table.filter(table["error"].is_valid())["error"].to_pylist()
    assert "ended with status -9" in error


DEADLY = """
import os
from PIL import JpegImagePlugin as plugin
opened = plugin.JpegImageFile._open
def deadly(self):
    opened(self)
    if self.size == (7, 5):
        os.kill(os.getpid(), 9)
plugin.JpegImageFile._open = deadly
"""


def test_a_file_that_kills_a_run_costs_the_next_one_a_row(
    item_process, write_dag, corpus, tmp_path
):
    """What is quick is described in the run's own process; after a killed run workers do it."""
    victim = corpus / "test" / "gan" / "0_real" / "1.jpg"
    Image.new("RGB", (7, 5)).save(victim)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY)
    here = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    given = ("run", write_dag(part_size=2), "--until", "images", "--workers", "1", "--json")
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": here}}
    assert item_process(*given, "--store", "s", **where).returncode == -signal.SIGKILL
    answer = item_process(*given, "--store", "s", **where)
    assert answer.returncode == 1 and "going on with what process" in answer.stderr
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    total = totals["listing"]
    assert (total["rows_in"], total["rows_ok"], total["rows_failed"]) == (12, 11, 1)


@pytest.fixture
def at_most_two_minutes():
    """Whatever this process waits for, it is interrupted then."""

    def fail(number, frame):
        raise TimeoutError("two minutes are over")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("at_most_two_minutes")
def test_a_pipe_in_the_place_of_an_image_leaves_the_corpus(item, write_dag, corpus, tmp_path):
    """It used to make the run wait for ever: nobody writes into it."""
    path = write_dag()
    options = ("--inline", "--store", "s", "--json", "--until", "image_embeddings")
    victim = corpus / "test" / "gan" / "0_real" / "1.jpg"
    victim.unlink()
    os.mkfifo(victim)
    (corpus / "test" / "gan" / "0_real" / "new.jpg").symlink_to(victim)
    answer = item("run", path, *options, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "2 (not a regular file)" in answer.stderr
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    assert totals["image_embeddings"]["rows_ok"] == totals["listing"]["rows_in"] == 11
    table = tmp_path / "list.csv"  # it names the pipe itself
    table.write_text("path,label\n" + "".join(f"{p},0\n" for p in sorted(victim.parent.iterdir())))
    named = ("--set", f"corpus.root={table}", "--set", "corpus.layout=unlabelled")
    answer = item("run", path, *options[:-1], "listing", *named, cwd=tmp_path)
    (total,) = json.loads(answer.stdout)["tables"]["nodes"]
    assert (total["rows_in"], total["rows_ok"], total["rows_failed"]) == (4, 2, 2)  # by a link too


def test_any_number_of_hostile_files_in_a_part_cost_a_row_each(item, write_dag, corpus, tmp_path):
    """Nine in one part used to lose all of its images, and named no file."""
    for number in range(10):
        place = corpus / "test" / "gan" / "0_real"
        (place / f"h{number}.png").write_bytes(empty_png(1, 80_000_000 + number))
        (place / f"k{number}.png").write_bytes(png(1, 40_000 + number, 6))
    path = write_dag(part_size=64)
    answer = item("run", path, "--until", "features", "--inline", "--store", "s", "--json",
                  cwd=tmp_path)  # fmt: skip
    assert answer.returncode == 1, answer.stderr
    found = contents(path, tmp_path / "s")
    for name in ("captions", "image_embeddings", "features"):
        errors = [why for why in found[name]["error"].to_pylist() if why is not None]
        assert (len(found[name]), len(errors)) == (32, 10), (name, errors)
        assert all("cannot hold 1x800000" in why for why in errors)
