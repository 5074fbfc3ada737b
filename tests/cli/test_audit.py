"""`item audit` on a corpus of files alone, and what `item run` says of it at its end."""

import json

import duckdb
import pytest

from pipeline.errors import UserError
from tests.conftest import draw


@pytest.fixture
def dag(tmp_path):
    """25 real and 25 fake images of two splits: fakes are PNG, and one file is in both splits."""
    for number in range(25):
        split = ("train", "test")[number % 2]
        draw(tmp_path / "corpus" / split / "gan" / "0_real" / f"{number:03d}.jpg", number)
        draw(tmp_path / "corpus" / split / "gan" / "1_fake" / f"{number:03d}.png", 100 + number)
    draw(tmp_path / "corpus" / "test" / "gan" / "0_real" / "again.jpg", 0)
    path = tmp_path / "small.yaml"
    root = tmp_path / "corpus"
    path.write_text(f"name: small\ncorpus: {{root: {root}, layout: forensynths}}\nnodes: {{}}\n")
    return path


def test_a_run_ends_with_what_is_no_ok_and_the_command_that_says_more(dag, item, tmp_path):
    done = item("run", dag, "--inline", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("leak: format: AUROC 1.000 [.8") for line in lines)
    assert "leak: same bytes: splits: 1 image in test and train (4.0 % of the smaller)" in lines
    assert lines[-1].startswith("report: ") and lines[-2].startswith("audit: ")
    assert lines[-2].endswith(f"(near-duplicates not looked for): `item audit {dag}`")
    again = item("run", dag, "--inline", "--json", cwd=tmp_path)
    found = {one["check"]: one["verdict"] for one in json.loads(again.stdout)["tables"]["audit"]}
    assert found["format"] == "leak"
    assert "near-duplicates: splits" not in found
    alone = item("run", dag, "--inline", "--only", "images", cwd=tmp_path)
    assert "audit: " not in alone.stdout


def test_the_table_says_figure_verdict_and_what_to_do(dag, item, tmp_path):
    item("run", dag.name, "--inline", cwd=tmp_path)
    done = item("audit", dag.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["verdict", "check", "figure"]
    text = " ".join(" ".join(lines).split())
    assert "leak format AUROC 1.000 [.8" in text
    assert "real: JPEG 100 %; fake: PNG 100 %" in text
    assert "-> encode all alike, as the variant `square_224+jpeg_90` does" in text
    assert f"`item query {dag.name} duplicates` names them" in text
    assert "not judged near-duplicates: splits no image embeddings" in text
    by_generator = item("audit", dag.name, "--by-generator", cwd=tmp_path).stdout
    assert by_generator.startswith(done.stdout)
    assert "generator " in by_generator.removeprefix(done.stdout)


def test_strict_fails_on_a_leak_and_json_has_it_all(dag, item, tmp_path):
    item("run", dag, "--inline", cwd=tmp_path)
    done = item("audit", dag, "--strict", "--json", cwd=tmp_path)
    assert done.returncode == 1
    found = {one["check"]: one for one in json.loads(done.stdout)["tables"]["audit"]}
    assert found["format"]["verdict"] == "leak"
    assert found["format"]["details"][0]["auroc"] == 1.0
    assert found.keys() >= {"class balance", "near-duplicates: labels", "file name"}
    fine = item("audit", dag, "--no-near-duplicates", "--json", cwd=tmp_path)
    assert fine.returncode == 0
    assert not any(
        one["check"].startswith("near") for one in json.loads(fine.stdout)["tables"]["audit"]
    )


def test_a_corpus_without_labels_is_looked_at_as_far_as_that_goes(dag, item, tmp_path):
    plain = ("--set", "corpus.layout=unlabelled")
    assert item("run", dag, "--inline", *plain, cwd=tmp_path).returncode == 0
    found = json.loads(item("audit", dag, "--json", *plain, cwd=tmp_path).stdout)["tables"]["audit"]
    found = {one["check"]: one for one in found}
    assert found["class balance"]["figure"].startswith("0 real, 0 fake images in 51 files")
    assert found["format"]["verdict"] == found["failures by label"]["verdict"] == "not judged"
    assert found["same bytes: labels"]["verdict"] == "not judged"
    text = item("audit", dag, *plain, cwd=tmp_path).stdout
    assert text.count("see class balance") == 1  # below the last of twelve
    assert text.count("0 real and 0 fake images: too few") == 12


def test_mistakes_are_told(dag, item, tmp_path):
    done = item("audit", dag, cwd=tmp_path)
    assert done.returncode == 2
    assert "the store has nothing of 'small' yet" in done.stderr
    item("run", dag, "--inline", cwd=tmp_path)
    done = item("audit", dag, "--no-near-duplicates", "--pairs", "x.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "--pairs names near-duplicates" in done.stderr
    for name, said in (
        ("x.odd", "the suffix '.odd' names no format"),
        ("pairs", "the suffix '' names no format"),
        ("nowhere/x.csv", "the pairs cannot be written"),
    ):
        done = item("audit", dag, "--pairs", name, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
        assert not (tmp_path / name).exists()
    assert item("audit", dag, "--cosine", "2", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "error", [UserError("a part is gone"), duckdb.IOException("a part is gone")]
)
def test_what_an_audit_cannot_read_does_not_fail_a_run(dag, item, tmp_path, monkeypatch, error):
    def broken(*given):
        raise error

    monkeypatch.setattr("pipeline.audit.kept.at_hand", broken)
    done = item("run", dag, "--inline", cwd=tmp_path)
    assert done.returncode == 0
    assert f"audit: not made: a part is gone; `item audit {dag}` asks again" in done.stderr
