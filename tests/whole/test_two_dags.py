"""Two DAGs that share a store, with the bundled models: each is asked about its own runs."""

import shutil

import pytest
import yaml

from tests.conftest import draw, make_corpus, make_dag, rows

ABOUT_ONE = ("thresholds", "calibration", "hardest_images", "run_disagreements")
ABOUT_MANY = ("run_metrics", "run_means", "run_seeds", "ablation")
OLDER = ("--set", "regions.threshold=0.6")


@pytest.fixture(scope="module")
def here(tmp_path_factory, item):
    """A store in which `one` was trained on other regions, then as it is, and last `other`."""
    here = tmp_path_factory.mktemp("two")
    corpus = make_corpus(here / "corpus")
    for label, folder in enumerate(("0_real", "1_fake")):
        for number in range(8):
            draw(corpus / "train" / "gan" / folder / f"{number}.jpg", 300 + 10 * label + number)
    for name, threshold in (("one", 0.75), ("other", 0.9)):
        make_dag(here / f"{name}.yaml", corpus, part_size=30, name=name)
        raw = yaml.safe_load((here / f"{name}.yaml").read_text())
        raw["nodes"]["captions"]["num_beams"] = 1
        raw["nodes"]["regions"]["threshold"] = threshold
        sides = {"train": "split = 'train'", "test": "split = 'test'", "allow_overlap": True}
        raw["experiments"] = {
            "same": {
                **sides,
                "head": {"hidden": [8], "epochs": 2, "least_steps": 1},
                "bootstrap": 0,
            }
        }
        (here / f"{name}.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    for words in (("one.yaml", *OLDER), ("one.yaml",), ("other.yaml",)):
        answer = item("run", *words, "--inline", "--no-report", cwd=here)
        assert answer.returncode == 0, answer.stderr
    return here


def asked(here, item, *words):
    return rows(item("query", *words, "--format", "json", cwd=here))


@pytest.fixture(scope="module")
def runs(here, item):
    """The run ids by (DAG, current), as `other` sees them."""
    sql = "select distinct dag, current, run_id, saved from runs order by saved"
    return asked(here, item, "other.yaml", sql)


def test_the_view_has_all_runs_and_says_whose_they_are(here, item, runs):
    found = [(row["dag"], row["current"]) for row in runs]
    assert found == [("one", False), ("one", False), ("other", True)]
    sql = "select distinct run_id, current, saved from runs order by saved"
    assert [row["current"] for row in asked(here, item, "one.yaml", sql)] == [False, True, False]


@pytest.mark.parametrize("name", ABOUT_ONE)
def test_a_query_is_about_the_newest_run_of_the_dag_that_is_asked(here, item, runs, name):
    older, own, other = (row["run_id"] for row in runs)
    for words, run in (
        (("one.yaml",), own),
        (("other.yaml",), other),
        (("one.yaml", *OLDER), older),
    ):
        found = asked(here, item, words[0], name, *words[1:])
        # verdicts of these tiny heads may never differ
        assert name == "run_disagreements" or found
        assert {(row["experiment"], row["run_id"]) for row in found} <= {("same", run)}
        assert all(row["method"] for row in found)
    by_id = asked(here, item, "one.yaml", name, "--param", f"run={other}")
    assert {row["run_id"] for row in by_id} <= {other}


@pytest.mark.parametrize("name", ABOUT_MANY)
def test_tables_of_runs_are_of_the_dag_that_is_asked(here, item, name):
    own = asked(here, item, "one.yaml", name)
    every = asked(here, item, "one.yaml", name, "--param", "dags=all")
    assert own and len({row.get("run_id") for row in own}) == 1
    if "run_id" in own[0]:
        assert len({row["run_id"] for row in every}) == 3
    else:
        assert {row["runs"] for row in own} == {1} and {row["runs"] for row in every} == {3}


def test_a_corpus_that_moved_keeps_its_runs(here, item, runs):
    shutil.copytree(here / "corpus", here / "moved")
    moved = ("one.yaml", "--set", "corpus.root=moved")
    assert item("run", *moved, "--until", "features", "--inline", cwd=here).returncode == 0
    found = asked(here, item, moved[0], "thresholds", *moved[1:])
    assert {row["run_id"] for row in found} == {runs[1]["run_id"]}


def test_a_dag_without_runs_of_its_own_is_told_so(here, item):
    changed = (
        "one.yaml",
        "run_errors",
        "--set",
        "regions.threshold=0.5",
        "--format",
        "json",
    )
    answer = item("query", *changed, cwd=here)
    assert rows(answer) == []
    assert "note: the store has no run of this DAG as it is now" in answer.stderr
    assert "3 runs of other DAGs, or of other states of this one" in answer.stderr
