"""Each command through its real entry point, in a process of its own."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

import pipeline
from tests.conftest import DEMO_MODELS, rows
from tests.helpers.demo import IMAGES, LIMITED, QUICK


def test_run_prints_totals_and_the_table_of_the_experiment(part_of_demo):
    _, answer = part_of_demo
    assert "features" in answer.stdout and str(IMAGES) in answer.stdout
    for word in ("global", "local", "linear probe", "cosine", "auroc", "mean"):
        assert word in answer.stdout, word


def test_status_counts_what_the_store_has(part_of_demo, item):
    folder, _ = part_of_demo
    answer = item("status", "demo", *LIMITED, "--json", cwd=folder)
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    assert totals["captions"]["rows_in"] == IMAGES
    assert totals["captions"]["rows_ok"] + totals["captions"]["rows_failed"] == IMAGES


def test_plan_tells_what_a_change_recomputes_and_why(part_of_demo, item):
    folder, _ = part_of_demo
    changed = ("--set", "captions.num_beams=1")
    answer = item("plan", "demo", *LIMITED, *changed, "--json", cwd=folder)
    steps = {step["node"]: step for step in json.loads(answer.stdout)["tables"]["nodes"]}
    assert steps["captions"]["reason"] == "num_beams 3 -> 1"
    assert steps["captions"]["images"] == IMAGES
    assert steps["objects"]["reason"] == "input captions changed"
    assert steps["image_embeddings"]["images"] == 0
    assert steps["image_embeddings"]["reason"] == "complete"
    assert steps["captions"]["seconds"] > 0 and steps["captions"]["bytes"] > 0
    assert "same stage and model (num_beams 3 -> 1)" in steps["captions"]["basis"]
    assert (steps["image_embeddings"]["seconds"], steps["image_embeddings"]["bytes"]) == (0, 0)


def test_plan_foretells_a_staged_run(item, write_dag, tmp_path):
    path = write_dag()
    experiment = {"train": "no_such_column = 1", "test": "label = 0"}
    path.write_text(path.read_text() + yaml.safe_dump({"experiments": {"e": experiment}}))
    whole = item("plan", path, cwd=tmp_path)
    assert whole.returncode == 2 and "no_such_column" in whole.stderr
    for words, nodes in (
        (("--until", "objects"), ["listing", "images", "captions", "objects"]),
        (("--only", "captions"), ["captions"]),
    ):
        answer = json.loads(item("plan", path, *words, "--json", cwd=tmp_path).stdout)
        assert answer["error"] is None
        told = [(step["node"], step["images"]) for step in answer["tables"]["nodes"]]
        assert told == [(node, 12) for node in nodes]
    wrong = item("plan", path, "--until", "objcts", cwd=tmp_path)
    assert wrong.returncode == 2 and "did you mean 'objects'?" in wrong.stderr


def test_what_is_calibrated_is_what_the_plan_is_about(item, write_dag, tmp_path):
    shutil.copytree(DEMO_MODELS, tmp_path / "models")
    weights = tmp_path / "models" / "clip" / "open_clip_model.safetensors"
    weights.write_bytes(b"none that can be loaded")
    words = ("--until", "captions", "--calibrate", "--workers", "1", "--json")
    answer = item("plan", write_dag(models=tmp_path / "models"), *words, cwd=tmp_path)
    steps = json.loads(answer.stdout)["tables"]["nodes"]
    assert [step["node"] for step in steps] == ["listing", "images", "captions"]
    assert steps[-1]["images"] == 12 and steps[-1]["basis"].startswith("calibrated with 1 worker")


@pytest.mark.parametrize("form", ["table", "csv", "json", "md", "parquet"])
def test_query_in_every_format(part_of_demo, item, form):
    folder, _ = part_of_demo
    out = folder / f"answer.{form}"
    sql = "select count(*) as n from images"
    options = (*LIMITED, "--format", form, "--out", out)
    answer = item("query", "demo", sql, *options, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    if form == "parquet":
        assert pq.read_table(out)["n"].to_pylist() == [IMAGES]
    elif form == "json":
        assert json.loads(out.read_text()) == [{"n": IMAGES}]
    elif form == "csv":
        assert out.read_text() == f"n\n{IMAGES}\n"
    else:
        assert str(IMAGES) in out.read_text()


def test_named_queries_are_listed_and_run(part_of_demo, item):
    folder, _ = part_of_demo
    listed = item("query", "--list", cwd=folder)
    names = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert len(names) >= 6 and "by_generator" in names
    answer = item("query", "demo", "label_balance", *LIMITED, "--format", "json", cwd=folder)
    assert sum(v for row in rows(answer) for k, v in row.items() if k in ("images", "n")) >= IMAGES


def test_parameters_of_a_query_are_listed_and_given(part_of_demo, item):
    folder, _ = part_of_demo
    listed = item("query", "--list", cwd=folder).stdout
    assert "--param images=INTEGER (20): how many" in listed
    assert "--param generator=TEXT: only this generator" in listed
    query = ("query", "demo", "most_misaligned", *LIMITED, "--format", "json")
    given = ("--param", "images=3", "--param", "generator=vae")
    found = rows(item(*query, *given, cwd=folder))
    assert len(found) == 3 and {row["generator"] for row in found} == {"vae"}
    wrong = item(*query, "--param", "image=3", cwd=folder)
    assert wrong.returncode == 2 and "did you mean 'images'?" in wrong.stderr


def test_the_run_is_a_view(part_of_demo, item):
    folder, _ = part_of_demo
    sql = (
        "select distinct experiment, method from runs "
        "where method = 'linear probe' and experiment = 'cross_generator'"
    )
    answer = item("query", "demo", sql, *LIMITED, "--format", "json", cwd=folder)
    assert rows(answer) == [{"experiment": "cross_generator", "method": "linear probe"}]


def test_db_writes_a_database_that_plain_duckdb_opens(part_of_demo, item):
    folder, _ = part_of_demo
    answer = item("db", "demo", *LIMITED, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    with duckdb.connect(folder / "demo.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from captions").fetchone() == (IMAGES,)
        assert connection.execute("select count(*) > 0 from runs").fetchone() == (True,)


def test_train_touches_no_feature_extractor(part_of_demo):
    folder, _ = part_of_demo
    script = (
        "import sys; from pipeline.cli.app import app\n"
        f"try: app(['train', 'demo', 'cross_generator', *{[*LIMITED, *QUICK]}])\n"
        "except SystemExit as stop: assert stop.code in (0, None), stop.code\n"
        "bad = {'open_clip', 'torchvision', 'transformers', 'spacy'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    # the package that this process has: an installed one has a demo corpus of its own elsewhere
    here = {**os.environ, "PYTHONPATH": str(Path(pipeline.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    answer = subprocess.run(
        command, cwd=folder, env=here, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    assert "linear probe" in answer.stdout


def test_what_is_not_there_is_asked_for_as_it_was_asked_about(part_of_demo, item):
    folder, _ = part_of_demo
    answer = item("status", "demo", "--limit", "5", cwd=folder)
    assert answer.returncode == 2 and "run `item run demo --limit 5` first" in answer.stderr


def test_the_status_of_a_sample_counts_its_own_texts(part_of_demo, item, tmp_path):
    folder, _ = part_of_demo
    shutil.copytree(folder / "store", tmp_path / "store")
    half = ("--limit", str(IMAGES // 2))  # every second one of what is computed
    item("run", "demo", *half, "--only", "listing", cwd=tmp_path)

    def rows(*words):
        answer = json.loads(item("status", "demo", "--json", *words, cwd=tmp_path).stdout)
        return {node["node"]: node["rows_in"] for node in answer["tables"]["nodes"]}

    few, all_of_them = rows(*half), rows(*LIMITED)
    assert few["captions"] == IMAGES // 2 and all_of_them["captions"] == IMAGES
    assert few["text_embeddings"] < all_of_them["text_embeddings"]
    sql = (
        "select count(distinct text) from (select caption as text from captions union all "
        "select phrase from objects where phrase is not null)"
    )
    answer = item("query", "demo", sql, *half, "--json", cwd=tmp_path)
    (row,) = json.loads(answer.stdout)["tables"]["answer"]
    assert list(row.values()) == [few["text_embeddings"]]


def test_ctrl_c_while_the_commands_are_imported_has_no_traceback(tmp_path):
    script = (
        "import os, signal, sys\n"
        "class Struck:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Struck)\n"
        "from pipeline.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "run", "demo"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stderr) == (-signal.SIGINT, "")


def test_gc_lists_before_it_deletes(part_of_demo, item):
    folder, _ = part_of_demo
    assert "0 node folders" in item("gc", "demo", *LIMITED, cwd=folder).stdout
    fewer = ("--limit", str(IMAGES - 1))  # another listing
    assert "1 node folder," in item("gc", "demo", *fewer, cwd=folder).stdout
    other = ("--set", "captions.num_beams=7")
    listed = item("gc", "demo", *LIMITED, *other, cwd=folder).stdout
    assert "captions of demo" in listed
    (line,) = [line for line in listed.splitlines() if line.endswith("` removes them")]
    command = shlex.split(line.split("`")[1])
    assert command == ["item", "gc", "demo", *other, *LIMITED, "--delete"]
    assert any(Path(folder, "store").rglob("caption/*/part-*.parquet"))


def test_doctor_names_what_is_missing(item, tmp_path):
    fine = item("doctor", "demo", "--json", cwd=tmp_path)
    assert fine.returncode == 0, fine.stdout
    wrong = ("--set", "captions.model=./nowhere")
    answer = item("doctor", "demo", *wrong, "--json", cwd=tmp_path)
    assert answer.returncode == 2
    (bad,) = [check for check in json.loads(answer.stdout)["tables"]["checks"] if not check["ok"]]
    assert "nowhere" in bad["found"] and bad["hint"]


def test_gc_says_how_to_delete_where_no_dag_was_named(item, write_dag, tmp_path):
    path = write_dag("mine")
    item("run", path, "--only", "listing", "--inline", "--store", "s d", cwd=tmp_path)
    refused = item("gc", "--store", "s d", "--delete", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.endswith("name all of them: `item gc mine.yaml --store 's d' --delete`\n")
    kept = item("gc", "mine.yaml", "--store", "s d", "--delete", cwd=tmp_path)
    assert kept.stdout.splitlines()[-1] == "0 node folders, 0.0 MB deleted"
    path.rename(tmp_path / "elsewhere.txt")
    unknown = item("gc", "--store", "s d", "--delete", cwd=tmp_path)
    assert "`item gc DAG --store 's d' --delete`" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "dmeo"), "did you mean 'demo'"),
        (("run", "demo", "--set", "corpus.root=./none"), "none"),
        (("run", "demo", "--until", "captoins"), "did you mean 'captions'"),
        (("run", "demo", "--only", "a", "--until", "b"), "exclude each other"),
        (("run", "demo", "--stall", "10"), "'10' is no duration"),
        (("query", "demo", "by_generatr"), "did you mean 'by_generator'"),
        (("query", "demo", "select 1"), "the store has nothing of 'demo' yet"),
        (("train", "demo", "cross"), "cross_generator"),
        (("query",), "no DAG is named, and there is no DAG file in this folder"),
        (("query", "demo"), "a query needs a name or SQL"),
    ],
)
def test_mistakes_exit_with_2_and_no_traceback(item, tmp_path, arguments, message):
    answer = item(*arguments, cwd=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr and "Traceback" not in answer.stderr
    assert not (tmp_path / "store" / "caption").exists()


def test_an_empty_folder_is_no_corpus(item, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = item("run", "demo", "--set", "corpus.root=empty", cwd=tmp_path)
    assert answer.returncode == 2 and "empty" in answer.stderr


def test_help_is_light(tmp_path):
    script = (
        "import sys; from pipeline.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'torch', 'duckdb', 'dask', 'pyarrow', 'numpy', 'sklearn'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    for command in ("run", "plan", "status", "query", "db", "train", "doctor", "models", "gc"):
        assert command in answer.stdout


def test_a_wrong_size_of_memory_is_said_before_anything_is_done(item, tmp_path):
    for command in ("run", "train"):
        answer = item(command, "demo", "--memory", "2", cwd=tmp_path)
        assert answer.returncode == 2
        assert "'2' is no size of memory" in answer.stderr
    assert not list(tmp_path.iterdir())
