"""Whole runs with the bundled models in which images are perturbed, up to the table of Figure 4."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from pipeline.dag.graph import load
from pipeline.store.contents import asked
from pipeline.store.parts import Store, part_tag
from tests.conftest import draw, make_corpus, make_dag, rows

TABLES = ("images", "captions", "regions", "image_embeddings", "misalignment", "features")
TEST = {"test": ["noise_0.01", "jpeg_50"]}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A corpus with a training half, one image of which only the header is whole, and its DAG."""
    here = tmp_path_factory.mktemp("variants")
    corpus = make_corpus(here / "corpus")
    for label, folder in enumerate(("0_real", "1_fake")):
        for number in range(8):
            draw(corpus / "train" / "gan" / folder / f"{number}.jpg", 300 + 10 * label + number)
    broken = draw(corpus / "test" / "flow" / "1_fake" / "9.jpg", 999)
    broken.write_bytes(broken.read_bytes()[:-100])
    make_dag(here / "plain.yaml", corpus, part_size=10, name="plain")
    raw = yaml.safe_load((here / "plain.yaml").read_text())
    raw |= {"name": "perturbed", "max_failed_share": 0.2}
    raw["corpus"]["variants"] = TEST
    head = {"hidden": [8], "epochs": 2, "least_steps": 1}
    both = {"train": "split = 'train'", "test": "split = 'test'", "allow_overlap": True}
    raw["experiments"] = {"survives": {**both, "test_by": "variant", "head": head, "bootstrap": 50}}
    (here / "perturbed.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return here


@pytest.fixture(scope="module")
def finished(here, item):
    """The plain DAG's store, and then what the DAG with variants answered on it."""
    plain = item("run", "plain.yaml", "--inline", "--until", "features", cwd=here)
    assert "1 of 29 rows failed" in plain.stderr, plain.stderr  # the broken file
    before = {path: path.stat().st_mtime_ns for path in (here / "store").rglob("*.parquet")}
    answer = item("run", "perturbed.yaml", "--inline", "--json", cwd=here)
    assert answer.returncode == 0, answer.stderr
    return before, answer


def contents(dag_path, store_path, tags):
    """The rows of each table's clean parts, or of those in variants, by part."""
    dag, store = load(str(dag_path)), Store(store_path)
    return {
        (name, one.part): store.read(dag.nodes[name].folder, one.part)
        for name in TABLES
        for one in asked(dag, store)
        if bool(part_tag(one.part)) == tags
    }


def test_only_variants_are_computed_and_all_rows_reconcile(here, finished):
    before, answer = finished
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before  # no clean part was written again
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    for name in TABLES:
        total = totals[name]
        assert (total["rows_in"], total["rows_variants"]) == (29 + 2 * 13, 2 * 13), name
        assert total["rows_in"] == total["rows_ok"] + total["rows_failed"]
        assert total["parts_done"] == total["parts"] == 3 + 2 * 2
        assert total["rows_failed"] == (2 if name == "images" else 3), name


def test_tables_show_how_many_rows_are_of_variants(here, finished, item):
    lines = item("status", "perturbed.yaml", cwd=here).stdout.splitlines()
    assert "rows in  of variants" in lines[0]
    shown = {line.split()[0]: line.split()[1:6] for line in lines[1:]}
    assert shown["listing"] == ["3/3", "29", "0", "29", "0"]
    assert shown["captions"] == ["7/7", "55", "26", "52", "3"]
    plain = item("status", "plain.yaml", cwd=here).stdout
    assert "of variants" not in plain and ["captions", "3/3", "29", "28", "1"] in [
        line.split()[:5] for line in plain.splitlines()
    ]


def test_the_broken_image_is_a_failed_row_in_each_variant(here, finished, item):
    sql = (
        "select variant, images.error from images join listing on content_id = listing.image_id "
        "where ends_with(uri, 'flow/1_fake/9.jpg') order by 1"
    )
    found = rows(item("query", "perturbed.yaml", sql, "--format", "json", cwd=here))
    assert [row["variant"] for row in found] == ["clean", "jpeg_50", "noise_0.01"]
    assert [row["error"] is None for row in found] == [True, False, False]


def test_variants_are_the_same_whatever_the_parts_and_processes(
    here, finished, item, item_process, tmp_path
):
    small = ("--set", "corpus.part_size=4", "--store", tmp_path / "other")
    command = ("run", "perturbed.yaml", "--until", "captions", "--workers", "1", *small)
    done = item_process(*command, cwd=here)
    assert done.returncode == 0, done.stderr
    sql = (
        "select image_id, images.width, bytes, caption, captions.error from images "
        "join captions using (image_id) order by image_id"
    )
    ask = ("query", "perturbed.yaml", sql, "--format", "json")
    one, other = rows(item(*ask, cwd=here)), rows(item(*ask, *small, cwd=here))
    assert one == other and len(one) == 29 + 26


def test_a_killed_run_goes_on_to_the_same_tables(here, finished, item, tmp_path):
    store = tmp_path / "killed"
    command = [sys.executable, "-m", "pipeline", "run", "perturbed.yaml", "--inline"]
    command += ["--until", "features", "--store", str(store)]
    run = subprocess.Popen(command, cwd=here, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(store.glob("caption/*/*.v1.parquet"))) < 1 and time.monotonic() < deadline:
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    done = item(*command[3:], cwd=here)
    assert done.returncode == 0, done.stderr
    for variants in (False, True):
        one = contents(here / "perturbed.yaml", here / "store", variants)
        other = contents(here / "perturbed.yaml", store, variants)
        assert one.keys() == other.keys() and len(one) == len(TABLES) * (4 if variants else 3)
        assert all(one[key].equals(other[key]) for key in one)


def test_the_plain_dag_sees_none_of_it(here, finished, item):
    ask = ("select count(*) as n from misalignment_by_image", "--format", "json")
    assert rows(item("query", "plain.yaml", *ask, cwd=here)) == [{"n": 29}]
    assert rows(item("query", "perturbed.yaml", *ask, cwd=here)) == [{"n": 55}]
    plan = item("plan", "plain.yaml", "--json", cwd=here)
    assert {step["reason"] for step in json.loads(plan.stdout)["tables"]["nodes"]} == {"complete"}


def test_the_experiment_tests_every_variant_of_the_same_images(finished):
    _, answer = finished
    tested = json.loads(answer.stdout)["tables"]
    assert [row["experiment"] for row in tested["runs"]] == ["survives"]
    for row in tested["metrics"]:
        assert (row["n"], row["train_variant"]) == (6, "clean")
        change = (row["ap_less_clean"], row["accuracy_less_clean"])
        assert (change == (None, None)) == (row["variant"] == "clean")
    means = {row["variant"]: row for row in tested["means"] if row["method"] == "cosine"}
    assert list(means) == ["clean", "noise_0.01", "jpeg_50"]
    assert {row["generators"] for row in means.values()} == {1}  # flow: gan was trained on


def test_a_variant_that_is_not_made_yet_is_said(here, finished, item):
    more = ("--set", "corpus.variants={test: [noise_0.01, jpeg_50, blur_2]}")
    asked = item("query", "perturbed.yaml", "select 1", *more, cwd=here)
    assert "warning: images is not complete: " in asked.stderr
    refused = item("train", "perturbed.yaml", *more, cwd=here)
    assert refused.returncode == 2
    assert "parts of images in variants, " in refused.stderr


def test_gc_keeps_what_a_dag_asks_for_and_no_more(here, finished, item):
    both = item("gc", "plain.yaml", "perturbed.yaml", cwd=here)
    assert "0 node folders, 0.0 MB not used by plain.yaml, perturbed.yaml" in both.stdout
    assert "--delete" not in both.stdout
    plain = item("gc", "plain.yaml", cwd=here)
    assert "jpeg_50.v1 in captions of plain" in plain.stdout
    assert "0 node folders, and parts of 18 others" in plain.stdout  # of all but the listing
    assert plain.stdout.endswith("`item gc plain.yaml --delete` removes them\n")
