"""What is said of labels before anything is computed, and `layout: auto` from run to question."""

import json
import shutil

import pytest

from tests.conftest import draw, rows

AUTO = ("--set", "corpus.layout=auto")
UNTIL = ("--until", "images", "--inline")
TABLE = [
    "  folders           label  generator  split  images",
    "  test/flow/0_real  real   flow       test        3",
    "  test/flow/1_fake  fake   flow       test        3",
    "  test/gan/0_real   real   gan        test        3",
    "  test/gan/1_fake   fake   gan        test        3",
]


@pytest.fixture
def here(write_dag, fake_models, tmp_path):
    write_dag(models=fake_models)
    return tmp_path


def test_the_mapping_is_said_by_plan_and_by_a_run_that_finds_something_new(here, item):
    head = "labels by the layout forensynths, of 12 image files:"
    plan = item("plan", "small.yaml", cwd=here)
    assert plan.returncode == 0 and plan.stdout.splitlines()[:6] == [head, *TABLE]
    run = item("run", "small.yaml", *UNTIL, cwd=here)
    said = run.stderr.splitlines()
    at = said.index(head)
    assert run.returncode == 0 and said[at : at + 6] == [head, *TABLE]
    assert at < next(i for i, line in enumerate(said) if line.startswith("listing"))
    assert head not in item("run", "small.yaml", *UNTIL, cwd=here).stderr


def test_for_machines_it_is_a_field(here, item):
    plan = item("plan", "small.yaml", "--json", cwd=here)
    run = item("run", "small.yaml", *UNTIL, "--json", cwd=here)
    again = item("run", "small.yaml", *UNTIL, "--json", cwd=here)
    labels = json.loads(plan.stdout)["tables"]["labels"]
    assert json.loads(run.stdout)["tables"]["labels"] == labels
    assert json.loads(run.stdout)["facts"]["layout"] == "forensynths"
    assert labels[0] == {
        "folders": "test/flow/0_real",
        "label": 0,
        "generator": "flow",
        "split": "test",
        "images": 3,
    }
    assert json.loads(again.stdout)["tables"]["labels"] == []
    assert "labels by the layout" not in plan.stderr + run.stderr


def test_auto_is_the_same_for_every_command_and_needs_no_corpus_later(here, item, corpus):
    plan = item("plan", "small.yaml", *AUTO, cwd=here)
    chosen = "layout auto is forensynths (it stays so in this store"
    assert chosen in plan.stdout and "  test/gan/1_fake/0.jpg: fake, gen" not in plan.stderr
    run = item("run", "small.yaml", *AUTO, *UNTIL, cwd=here)
    assert run.returncode == 0 and chosen in run.stderr
    draw(corpus / "test" / "gan" / "1_fake" / "new.jpg", 321)
    draw(corpus / "elsewhere.jpg", 322)
    grown = item("run", "small.yaml", *AUTO, *UNTIL, cwd=here)
    assert "1 paths do not fit the layout forensynths" in grown.stderr
    shutil.move(corpus, here / "unmounted")
    ask = "select label, count(*) as n from listing group by label order by label nulls last"
    answer = item("query", "small.yaml", ask, "--format", "json", *AUTO, cwd=here)
    counts = [(row["label"], row["n"]) for row in rows(answer)]
    assert counts == [(0, 6), (1, 7), (None, 1)]
    assert item("status", "small.yaml", *AUTO, cwd=here).returncode == 0


def test_auto_stops_where_it_cannot_know(here, item, corpus):
    shutil.rmtree(corpus)
    for name in "01":
        draw(corpus / name / "a.jpg", int(name))
    stopped = item("run", "small.yaml", *AUTO, *UNTIL, cwd=here)
    assert stopped.returncode == 2 and "may be labels or classes" in stopped.stderr
    assert "Traceback" not in stopped.stderr and not list(here.glob("store/listing/*/*.parquet"))
    stated = ("--set", "corpus.layout=imagefolder")
    assert item("run", "small.yaml", *stated, *UNTIL, cwd=here).returncode == 0


def test_a_root_one_level_too_high_computes_nothing(here, item, corpus):
    shutil.move(corpus / "test", corpus / "data")
    shutil.move(corpus / "data" / "gan", corpus / "data" / "progan")
    stopped = item("run", "small.yaml", *UNTIL, cwd=here)
    assert stopped.returncode == 2
    assert "a level too high for the layout forensynths: 'data' would be one" in stopped.stderr
    assert f"set `corpus.root` to {corpus}/data" in stopped.stderr
    assert not list(here.glob("store/listing/*/*.parquet"))
