"""--json: one object, of one shape, of every command; a mistake is one, too."""

import json

import pytest
from typer.main import get_command

from pipeline.cli.app import app
from pipeline.version import __version__
from tests.conftest import make_corpus, make_dag

KEYS = ["item", "command", "dag", "store", "exit", "tables", "facts", "error"]
# the words of a command behind its name, its tables, and its facts
COMMANDS = {
    "plan": ([], ["nodes", "labels", "misfits"], ["workers", "layout"]),
    "run": (
        ["--inline", "--until", "images"],
        ["nodes", "labels", "misfits", "runs", "metrics", "means", "differences", "audit"],
        ["layout", "go_on", "report"],
    ),
    "status": ([], ["nodes"], []),
    "audit": (["--no-near-duplicates"], ["audit"], []),
    "verify": ([], ["faults"], ["parts", "bytes", "set_aside"]),
    "retry": ([], ["nodes"], []),
    "query": (["select 1 as x, 'nan'::float as y, 'ä' as z"], ["answer"], []),
    "query --list": ([], ["queries"], []),
    "db": ([], [], ["path"]),
    "train": (
        [],
        ["runs", "metrics", "means", "differences", "audit"],
        [],
    ),
    "report": ([], [], ["path", "bytes", "seconds"]),
    "show": (
        ["gan/0_real/0.jpg"],
        ["files", "ranks", "objects", "verdicts", "neighbours", "variants"],
        ["html", "image_id", "uri", "label", "caption", "failure"],
    ),
    "predict": (["any", "x.jpg"], ["verdicts", "objects"], []),
    "export": (["any"], [], ["path"]),
    "doctor": (["--quick"], ["checks"], []),
    "init": (["--force"], ["labels", "misfits"], ["path", "layout", "models", "experiment"]),
    "gc": ([], ["unused"], ["bytes", "deleted"]),
    "models fetch": ([], ["models"], ["lock"]),
}
WITHOUT_STORE = {"models fetch", "init"}
WITHOUT_DAG = {"query --list", "gc", "init"}
# what they say of the DAG below, which has no experiments: a mistake
WITHOUT_EXPERIMENTS = {
    "train": "the DAG has no experiments",
    **dict.fromkeys(("predict", "export"), "the store has no trained run"),
}


def answered(text):
    """The object; duplicate keys, NaN and Infinity are no JSON."""

    def no(word):
        raise ValueError(word)

    def pairs(found):
        assert len({key for key, _ in found}) == len(found)
        return dict(found)

    return json.loads(text, parse_constant=no, object_pairs_hook=pairs)


@pytest.fixture(scope="module")
def here(tmp_path_factory, item):
    """A folder with one DAG file, a corpus, and a store in which the images are described."""
    folder = tmp_path_factory.mktemp("json")
    make_dag(folder / "small.yaml", make_corpus(folder / "corpus"))
    assert item("run", "--inline", "--until", "images", cwd=folder).returncode == 0
    return folder


def test_every_command_has_json_and_is_tried_here():
    found = set()
    for name, command in get_command(app).commands.items():
        for word, one in getattr(command, "commands", {"": command}).items():
            path = f"{name} {word}".strip()
            assert "--json" in {o for p in one.params for o in p.opts}, path
            found.add(path)
    assert found == {name.removesuffix(" --list") for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_all_have_one_shape(here, item, command):
    words, tables, facts = COMMANDS[command]
    given = ["corpus", "--out", "new.yml"] if command == "init" else []
    done = item(*command.split(), *given, *words, "--json", cwd=here)
    (here / "new.yml").unlink(missing_ok=True)
    found = answered(done.stdout)
    assert list(found) == KEYS
    assert found["item"] == __version__
    assert found["command"] == command.removesuffix(" --list")
    assert found["exit"] == done.returncode
    assert found["dag"] == (None if command in WITHOUT_DAG else "small.yaml")
    assert found["store"] == (None if command in WITHOUT_STORE else str(here / "store"))
    if command in WITHOUT_EXPERIMENTS:
        assert found["error"]["what"] == WITHOUT_EXPERIMENTS[command]
        assert "`experiments:`" in found["error"]["next"]
        return
    assert found["error"] is None, done.stderr
    assert list(found["tables"]) == tables
    assert list(found["facts"]) == facts
    for rows in found["tables"].values():
        assert all(isinstance(row, dict) for row in rows)
        assert len({tuple(row) for row in rows}) <= 1  # all rows of a table have the same keys


def test_the_rows_are_there(here, item):
    rows = answered(item("query", "select 1 as x, 'nan'::float as y", "--json", cwd=here).stdout)
    assert rows["tables"]["answer"] == [{"x": 1, "y": None}]
    status = answered(item("status", "--json", cwd=here).stdout)["tables"]["nodes"]
    assert {row["node"]: row["rows_ok"] for row in status}["images"] == 12


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["query", "select from"], "Parser Error"),
        (["query", "by_generatr"], "there is no query or view 'by_generatr'"),
        (["run", "--until", "x"], "there is no node 'x'"),
        (["status", "--store", "elsewhere"], "the store has nothing of 'small' yet"),
        (["gc", "--store", "elsewhere"], "there is no store here"),
        (["plan", "none.yaml"], "there is no DAG file none.yaml"),
        (["train"], "the DAG has no experiments"),
    ],
)
def test_a_mistake_has_the_same_shape(here, item, words, what):
    done = item(*words, "--json", cwd=here)
    found = answered(done.stdout)
    assert list(found) == KEYS and done.returncode == found["exit"] == 2
    assert what in found["error"]["what"] and list(found["error"]) == ["what", "where", "next"]
    assert found["tables"] == found["facts"] == {}
    assert f"error: {found['error']['what']}" in done.stderr
