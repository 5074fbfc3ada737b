"""What a person types: --version, -h, completion, no DAG, SQL from files and pipes."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import pipeline
from pipeline.cli.app import app
from pipeline.version import __version__
from tests.conftest import make_corpus, make_dag, rows


@pytest.fixture(scope="module")
def here(tmp_path_factory, item):
    """A folder with one DAG file, other YAML, a corpus, and a store with its images described."""
    folder = tmp_path_factory.mktemp("typing")
    make_dag(folder / "small.yaml", make_corpus(folder / "corpus"))
    (folder / "compose.yaml").write_text("services: {db: {image: postgres}}\n")
    (folder / "broken.yml").write_text("a: [b\n")
    assert item("run", "--inline", "--until", "images", cwd=folder).returncode == 0
    return folder


def test_version(item, tmp_path):
    done = item("--version", cwd=tmp_path)
    assert (done.stdout, done.returncode) == (f"item {__version__}\n", 0)


def test_every_command_knows_h(item, tmp_path):
    for name, command in {"": None, **get_command(app).commands}.items():
        inner = ["", *getattr(command, "commands", {})]
        for word in inner:
            path = [part for part in (name, word) if part]
            short, long = item(*path, "-h", cwd=tmp_path), item(*path, "--help", cwd=tmp_path)
            assert short.returncode == 0 and short.stdout == long.stdout, path
            assert "Usage" in short.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """The environment of a shell that finds `item`, and whose home is a folder of its own."""
    folder = tmp_path_factory.mktemp("shell")
    root = str(Path(pipeline.__file__).parents[1])
    code = "from pipeline.cli.app import app; app(prog_name='item')"
    script = folder / "item"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    script.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": root, "PATH": path, "HOME": str(folder)}


def completed(line, here, shell):
    """What bash is told of a line; of one that ends in a blank, of the word to come."""
    number = len(line.split()) - (not line.endswith(" "))
    asked = {"_ITEM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(number)}
    done = subprocess.run(["item"], cwd=here, env=shell | asked, capture_output=True, text=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("item qu", {"query"}),
        ("item run --sched", {"--scheduler"}),
        ("item plan gen", {"genimage"}),
        ("item plan sm", {"small.yaml"}),
        ("item query demo by_gen", {"by_generator"}),
        ("item query by_gen", {"by_generator"}),
        ("item gc sma", {"small.yaml"}),
        ("item run demo --until cap", {"captions"}),
        ("item run --only im", {"images", "image_embeddings"}),
        ("item run none.yaml --only im", {"images"}),
        ("item train demo ", {"cross_generator", "each_generator", "figure5"}),
        ("item train cross", {"cross_in_this_folder"}),
        ("item train broken.yml ", set()),
        ("item predict demo fig", {"figure5"}),
        ("item export demo fig", {"figure5"}),
        ("item report demo --experiment e", {"each_generator"}),
    ],
)
def test_shells_complete(here, shell, line, expected, tmp_path):
    for name in ("small.yaml", "broken.yml"):
        (tmp_path / name).write_text((here / name).read_text())
    with (tmp_path / "small.yaml").open("a") as stream:
        stream.write("experiments: {cross_in_this_folder: {}}\n")
    assert completed(line, tmp_path, shell) == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_is_installed_and_bash_takes_it(here, shell):
    # which shell asks is found out by its process, and here that is no shell
    given = shell | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    words = ["item", "--install-completion", "bash"]
    done = subprocess.run(words, cwd=here, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = (
        "source ~/.bashrc; COMP_WORDS=(item run demo --until cap); COMP_CWORD=4; "
        "_item_completion item; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", asked], cwd=here, env=shell, capture_output=True, text=True
    )
    assert done.stdout == "captions\n", done.stderr


def test_one_dag_file_needs_no_name(here, item):
    for words in (["plan"], ["status"], ["verify"], ["retry"], ["gc"], ["doctor", "--quick"]):
        done = item(*words, cwd=here)
        assert done.returncode == 0, done.stderr
        assert item(*words, "small.yaml", cwd=here).stdout == done.stdout
    assert rows(
        item("query", "select count(*) as n from images", "--format", "json", cwd=here)
    ) == [{"n": 12}]
    assert item("query", "coverage", cwd=here).returncode == 0


def test_several_dag_files_are_an_error_that_names_them(here, item, tmp_path):
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text((here / "small.yaml").read_text())
    for words in (["plan"], ["run"], ["query", "coverage"], ["status"], ["train"], ["db"], ["gc"]):
        done = item(*words, cwd=tmp_path)
        assert done.returncode == 2 and "name one: a.yaml, b.yml" in done.stderr, done.stderr
    done = item("doctor", cwd=tmp_path)
    assert "no DAG was checked; there are a.yaml, b.yml: name one" in done.stderr


def test_no_dag_file_is_an_error_that_says_what_to_do(item, tmp_path):
    done = item("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert "no DAG is named" in done.stderr and "`item init FOLDER`" in done.stderr


def test_gc_deletes_nothing_by_default_names(here, item):
    done = item("gc", "--delete", cwd=here)
    assert done.returncode == 2 and "name all of them" in done.stderr


def test_an_experiment_alone_is_of_the_dag_here(here, item):
    done = item("train", "unseen", cwd=here)
    assert "there is no experiment 'unseen'" in done.stderr and "small.yaml" in done.stderr


SQL = "-- param least integer 3: at least\nselect count(*) as n from images where $least < 4\n"


def test_sql_from_a_file(here, item, tmp_path):
    (tmp_path / "q.sql").write_text(SQL)
    for words in (["small.yaml"], []):
        found = item("query", *words, "-f", tmp_path / "q.sql", "--format", "json", cwd=here)
        assert rows(found) == [{"n": 12}]
    given = ("--param", "least=9", "--format", "json")
    assert rows(item("query", "-f", tmp_path / "q.sql", *given, cwd=here)) == [{"n": 0}]
    done = item("query", "-f", tmp_path / "none.sql", cwd=here)
    assert done.returncode == 2 and "the SQL cannot be read: No such file" in done.stderr
    (tmp_path / "bad.sql").write_bytes(b"select '\xff'")
    assert "it is not UTF-8" in item("query", "-f", tmp_path / "bad.sql", cwd=here).stderr
    done = item("query", "small.yaml", "select 1", "-f", tmp_path / "q.sql", cwd=here)
    assert done.returncode == 2 and "leave one out" in done.stderr


@pytest.mark.parametrize("words", [["small.yaml", "-"], ["-"], ["small.yaml"], [], ["-f", "-"]])
def test_sql_from_a_pipe(here, item_process, words):
    done = item_process("query", *words, "--format", "csv", cwd=here, input=SQL)
    assert done.stdout == "n\n12\n", done.stderr


def test_an_empty_pipe_is_a_mistake(here, item_process):
    done = item_process("query", "-", cwd=here, input=" \n")
    assert done.returncode == 2 and "there is no SQL on stdin" in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "md", "txt"])
def test_the_suffix_of_out_is_its_format(here, item, suffix, tmp_path):
    out = tmp_path / f"x.{suffix}"
    done = item("query", "select count(*) as n from images", "--out", out, cwd=here)
    assert done.returncode == 0, done.stderr
    start = {"csv": b"n\n12\n", "parquet": b"PAR1", "json": b'[\n {"n": 12}\n]\n'}
    start |= {"md": b"| n |\n| ---: |\n| 12 |\n", "txt": b" n\n--\n12\n(1 row)\n"}
    assert out.read_bytes().startswith(start[suffix])


def test_a_piped_answer_has_a_line_a_row(here, item):
    done = item("query", "select uri, 'a b ' || repeat('c ', 200) as x from listing", cwd=here)
    assert len(done.stdout.splitlines()) == 2 + 12 + 1


def test_no_command_writes_into_the_store(here, item):
    store = here / "store"
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for words in (
        ["query", "select 1", "--format", "json", "--out", store / "store.json"],
        ["query", "select 1", "--out", "store/images/x.csv"],
        ["db", "--out", "store/x.duckdb"],
        ["audit", "--pairs", "store/x.csv"],
        ["models", "fetch", "--lock", "store/x.lock"],
        ["init", "corpus", "--out", "store/x.yaml"],
    ):
        done = item(*words, cwd=here)
        assert done.returncode == 2, words
        assert "would write into a store" in done.stderr, (words, done.stderr)
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("command", ["run", "status", "query", "verify", "gc", "db"])
def test_a_store_is_no_address(here, item, command):
    words = ["coverage"] if command == "query" else []
    done = item(command, *words, "--store", "s3://bucket/x", cwd=here)
    assert done.returncode == 2 and "a store is a folder" in done.stderr
    assert not (here / "s3:").exists()


@pytest.mark.parametrize("command", ["status", "query", "train", "verify", "retry", "audit", "db"])
def test_another_folder_has_no_store(here, item, command, tmp_path):
    (tmp_path / "small.yaml").write_text((here / "small.yaml").read_text())
    words = ["coverage"] if command == "query" else []
    done = item(command, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    known = "the DAG has no experiments" if command == "train" else "the store has nothing of"
    assert known in done.stderr
    assert not (tmp_path / "store").exists()


def test_ctrl_c_ends_a_question(here):
    sql = "select count(*) from range(100000000000) a, range(1000) b"
    command = [sys.executable, "-m", "pipeline", "query", "small.yaml", sql]
    asked = subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, text=True)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            asked.wait(timeout=5)
        asked.send_signal(signal.SIGINT)
        _, said = asked.communicate(timeout=30)
    finally:
        asked.kill()
    assert asked.returncode == 130 and "interrupted" in said and "Traceback" not in said
