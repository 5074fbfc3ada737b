"""The queries about trained runs: `old` (head, probe) and `new` (head) of the known store."""

import os
from datetime import datetime
from itertools import pairwise
from math import sqrt

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.query.part_sql import Identity
from pipeline.query.questions import execute, files_tell, resolve, without_runs
from pipeline.query.views import connect
from pipeline.shipped import folder
from tests.sql.conftest import BJ, A, B, C, E, answer, approx

OLD, HEAD = "run=old", "method=head"


def test_run_metrics(connection):
    columns = ("run_id", "method", "generator", "seen", "ap", "accuracy", "tnr", "tpr", "n")
    rows = [
        ("new", "head", "progan", True, 1.0, 0.5, 0.0, 1.0, 2),
        ("old", "head", "progan", True, 1.0, 1.0, 1.0, 1.0, 2),
        ("old", "head", "biggan", False, 0.5, 0.0, 0.0, 0.0, 2),
        ("old", "probe", "progan", True, 0.9, 0.5, 0.0, 1.0, 2),
        ("old", "probe", "biggan", False, 1.0, 0.5, 1.0, 0.0, 2),
    ]
    assert answer(connection, "run_metrics", *columns) == rows
    assert answer(connection, "run_metrics", *columns, given=("runs=1",)) == rows[:1]
    assert answer(connection, "run_metrics", *columns, given=("experiment=cros",)) == []
    first = ("cross", datetime(2026, 1, 2, 3, 5), 1.0)
    assert answer(connection, "run_metrics", "experiment", "saved", "auroc")[0] == first


def test_run_means(connection):
    columns = ("run_id", "method", "seen", "ap_seen", "unseen", "ap", "ap_lowest", "auroc")
    assert answer(connection, "run_means", *columns) == [
        ("old", "probe", 1, 0.9, 1, 1.0, 1.0, 1.0),
        ("old", "head", 1, 1.0, 1, 0.5, 0.5, 0.5),
        ("new", "head", 1, 1.0, 0, None, None, None),
    ]
    assert answer(connection, "run_means", "accuracy", "tnr", "tpr") == [
        (0.5, 1.0, 0.0),
        (0.0, 0.0, 0.0),
        (None, None, None),
    ]


def _of_metadata(known, folder, rows):
    """A connection with one run of the methods head and metadata; `rows`: those of metadata."""
    folder.mkdir(parents=True)
    shared = {"variant": "clean", "train_variant": "clean", "seen": False, "ap": 0.5}
    rows = [{**shared, "method": "metadata", **row} for row in rows]
    rows.append({**shared, "method": "head", "scope": "generator", "generator": "a", "auroc": 0.9})
    pq.write_table(pa.Table.from_pylist(rows), folder / "metrics.parquet")
    return connect(known, [folder])


@pytest.mark.parametrize(
    ("mean", "of_generator", "told"),
    [
        ((0.8, 0.7, 0.9), (0.99, 0.98, 1.0), 0.8),  # the mean's lower end is 0.2 above chance
        ((0.7, 0.55, 0.8), (0.99, 0.98, 1.0), 0.99),  # and here 0.05, but a generator is told
        ((0.7, 0.55, 0.8), (0.6, 0.55, 0.65), None),
        ((0.25, 0.2, 0.35), (0.5, 0.4, 0.6), 0.25),  # turned round
        (None, (0.3, 0.2, 0.39), 0.3),  # a run without a mean
        (None, (0.3, 0.2, 0.45), None),
        ((0.61, None, None), (0.5, None, None), 0.61),  # no resamples: the figure itself
        ((0.6, None, None), (0.9, None, None), 0.9),  # just 0.1
        ((0.6, None, None), (0.6, None, None), None),
    ],
)
def test_runs_say_where_files_tell(known, tmp_path, mean, of_generator, told):
    names = ("auroc", "auroc_low", "auroc_high")
    rows = [{"scope": "generator", "generator": "a", **dict(zip(names, of_generator, strict=True))}]
    if mean:
        rows.append({"scope": "mean", "generator": None, **dict(zip(names, mean, strict=True))})
    connection = _of_metadata(known, tmp_path / "cross" / "one", rows)
    for name in ("run_metrics", "run_means"):
        assert set(answer(connection, name, "files_tell")) == {(told,)}
    said = files_tell(connection, "from runs")
    assert said is None if told is None else f"has an AUROC of {told:.3f} (cross);" in said
    assert files_tell(connection, "from captions") is None


def test_the_generator_that_files_tell_most_of_is_named(known, tmp_path):
    rows = [
        {"scope": "generator", "generator": name, "auroc": auroc}
        for name, auroc in (("a", 0.7), ("b", 0.1), ("c", 0.8))
    ]
    connection = _of_metadata(known, tmp_path / "cross" / "one", rows)
    assert set(answer(connection, "run_means", "files_tell")) == {(0.1,)}


def test_run_seeds(known, tmp_path):
    """Two seeds of one configuration, one of another; two unseen generators and a seen one."""
    folders = []
    for configuration, seed, unseen in (("{}", 0, 0.6), ("{}", 1, 0.8), ('{"a": 1}', 0, 0.65)):
        folders.append(tmp_path / "cross" / f"{len(folders)}")
        folders[-1].mkdir(parents=True)
        shared = {"method": "head", "scope": "generator", "seed": seed, "validation_ap": unseen / 2}
        shared |= {"configuration": configuration, "variant": "clean", "train_variant": "clean"}
        rows = [
            {**shared, **dict.fromkeys(("ap", "auroc", "accuracy"), ap), "seen": seen}
            for ap, seen in ((unseen - 0.1, False), (unseen + 0.1, False), (1.0, True))
        ]
        rows = [row | {"balanced_accuracy_at_threshold": row["ap"] / 2} for row in rows]
        rows.append({**rows[0], "scope": "mean", "ap": 0.0})
        pq.write_table(pa.Table.from_pylist(rows), folders[-1] / "metrics.parquet")
    connection = connect(known, folders)
    columns = ("configuration", "runs", "validation_ap", "ap", "ap_std", "at_threshold")
    first = ("{}", 2, approx(0.35), approx(0.7), approx(0.1 * sqrt(2)), approx(0.35))
    second = ('{"a": 1}', 1, approx(0.325), approx(0.65), None, approx(0.325))
    assert answer(connection, "run_seeds", *columns) == [first, second]
    columns = ("experiment", "method", "auroc", "auroc_std", "accuracy_std", "at_threshold_std")
    std = approx(0.1 * sqrt(2))
    expected = ("cross", "head", approx(0.7), std, std, approx(0.05 * sqrt(2)))
    assert answer(connection, "run_seeds", *columns)[0] == expected
    assert answer(connection, "run_seeds", given=("experiment=other",)) == []
    assert answer(connection, "run_seeds", given=("method=probe",)) == []


@pytest.mark.parametrize("name", ["run_seeds", "ablation"])
def test_a_seed_that_was_trained_again_counts_once(known, tmp_path, name):
    """Counted twice, two seeds would look like four that hardly differ."""
    folders = []
    for seed, ap in ((0, 0.5), (1, 0.7), (0, 0.6), (1, 0.8)):
        folders.append(tmp_path / "cross" / f"{len(folders)}")
        folders[-1].mkdir(parents=True)
        row = {"method": "head", "scope": "generator", "seed": seed, "configuration": "{}"}
        row |= {"variant": "clean", "train_variant": "clean", "seen": False, "generator": "a"}
        row |= dict.fromkeys(("ap", "auroc", "accuracy", "validation_ap"), ap)
        pq.write_table(pa.Table.from_pylist([row]), folders[-1] / "metrics.parquet")
        os.utime(folders[-1] / "metrics.parquet", (len(folders), len(folders)))
    found = answer(connect(known, folders), name, "runs", "ap", "ap_std")
    assert found == [(2, approx(0.7), approx(0.1 * sqrt(2)))]


def test_ablation(known, tmp_path):
    """Two seeds of one pooling and one of another, each with a head, a baseline and a mean row."""
    found = (("{}", 0, 0.6, 0.5), ("{}", 1, 0.8, 0.6), ('{"pooling": "top_k"}', 0, 0.65, 0.5))
    folders = []
    for configuration, seed, head, probe in found:
        folders.append(tmp_path / "figure5" / f"{len(folders)}")
        folders[-1].mkdir(parents=True)
        rows = []
        for method, ap in (("global+local", head), ("linear probe", probe)):
            row = {"method": method, "scope": "generator", "seed": seed, "validation_ap": 0.9}
            row |= {"configuration": configuration, "seen": False, "auroc": ap, "accuracy": ap / 2}
            row |= {"variant": "clean", "train_variant": "clean"}
            rows += [row | {"ap": ap - 0.1}, row | {"ap": ap + 0.1}]
            rows += [row | {"ap": 0.1, "variant": "blur_3"}]
            rows.append(row | {"ap": 1.0, "seen": True})
            rows.append(row | {"ap": 0.0, "scope": "mean"})
        pq.write_table(pa.Table.from_pylist(rows), folders[-1] / "metrics.parquet")
    connection = connect(known, folders)
    columns = ("representation", "pooling", "method", "runs", "ap", "ap_std", "gain", "gain_std")
    std = 0.1 * sqrt(2)
    assert answer(connection, "ablation", *columns) == [
        ("unit_difference", "mean", "global+local", 2, *map(approx, (0.7, std, 0.15, std / 2))),
        ("unit_difference", "top_k", "global+local", 1, approx(0.65), None, approx(0.15), None),
        ("unit_difference", "mean", "linear probe", 2, *map(approx, (0.55, std / 2, 0, 0))),
        ("unit_difference", "top_k", "linear probe", 1, approx(0.5), None, approx(0), None),
    ]
    columns = ("experiment", "configuration", "validation_ap", "auroc", "accuracy")
    expected = ("figure5", "{}", *map(approx, (0.9, 0.7, 0.35)))
    assert answer(connection, "ablation", *columns)[0] == expected
    given = ("baseline=global+local",)
    assert answer(connection, "ablation", "gain", given=given)[2] == (approx(-0.15),)
    assert answer(connection, "ablation", "gain", given=("baseline=none",))[0] == (None,)
    assert answer(connection, "ablation", "gain", given=("experiment=other",)) == []
    perturbed = answer(connection, "ablation", "ap", "gain", given=("variant=blur_3",))
    assert perturbed == [(approx(0.1), approx(0))] * 4


def test_hardest_images(connection):
    columns = ("run_id", "method", "kind", "probability", "generator", "image_id")
    assert answer(connection, "hardest_images", *columns) == [
        ("new", "head", "real", 0.7, "progan", A),
        ("new", "head", "fake", 0.95, "progan", B),
    ]
    assert answer(connection, "hardest_images", *columns, given=(OLD,)) == [
        ("old", "probe", "real", 0.6, "progan", A),
        ("old", "probe", "real", 0.2, "biggan", E),
        ("old", "probe", "fake", 0.3, "biggan", C),
        ("old", "probe", "fake", 0.7, "progan", B),
    ]
    given = (OLD, "images=1", "generator=biggan")
    columns = ("image_id", "uri", "caption", "cosine_global", "cosine_local")
    assert answer(connection, "hardest_images", *columns, given=given) == [
        (E, "biggan/0_real/e.jpg", "a dog", approx(0.7), approx(0.6)),
        (C, "biggan/1_fake/c.png", "fog", approx(0.6), None),
    ]


def test_run_errors(connection):
    columns = ("kind", "probability", "generator", "image_id", "uri", "caption", "objects")
    given = (OLD, HEAD)
    assert answer(connection, "run_errors", *columns, given=given) == [
        ("real", 0.9, "biggan", E, "biggan/0_real/e.jpg", "a dog", "dog 0.60"),
        ("fake", 0.4, "biggan", C, "biggan/1_fake/c.png", "fog", None),
    ]
    columns = ("cosine_global", "worst_phrase", "worst_cosine", "run_id", "method")
    assert answer(connection, "run_errors", *columns, given=given) == [
        (approx(0.7), "dog", approx(0.6), "old", "head"),
        (approx(0.6), None, None, "old", "head"),
    ]
    assert answer(connection, "run_errors", "image_id", given=(*given, "errors=1")) == [(E,)]
    assert answer(connection, "run_errors", "image_id", given=(*given, "generator=progan")) == []
    objects = answer(connection, "run_errors", "image_id", "objects")
    assert objects == [(A, "red cup 0.90, box 0.50")]


def test_run_disagreements_of_two_methods(connection):
    columns = ("kind", "generator", "image_id", "probability", "other_probability", "right_is")
    assert answer(connection, "run_disagreements", *columns, given=(OLD,)) == [
        ("real", "biggan", E, 0.2, 0.9, "one"),
        ("real", "progan", A, 0.6, 0.1, "other"),
    ]
    columns = ("run_id", "method", "other_run_id", "other_method", "caption", "uri")
    assert answer(connection, "run_disagreements", *columns, given=(OLD, "images=1")) == [
        ("old", "probe", "old", "head", "a dog", "biggan/0_real/e.jpg")
    ]


def test_run_disagreements_of_two_runs(connection):
    columns = ("image_id", "method", "other_run_id", "other_method", "right_is")
    given = ("run=new", "other_run=old")
    assert answer(connection, "run_disagreements", *columns, given=given) == []  # old's probe
    given = (*given, "other_method=head")
    assert answer(connection, "run_disagreements", *columns, given=given) == [
        (A, "head", "old", "head", "other")
    ]
    assert answer(connection, "run_disagreements", *columns) == []  # new has one method only


def test_calibration(connection):
    columns = ("bin_from", "bin_to", "n", "probability", "fake_share", "gap", "run_id", "method")
    given = (OLD, HEAD, "bins=2")
    assert answer(connection, "calibration", *columns, given=given) == [
        (0.0, 0.5, 2, approx(0.25), 0.5, approx(-0.25), "old", "head"),
        (0.5, 1.0, 2, approx(0.85), 0.5, approx(0.35), "old", "head"),
    ]
    given = (OLD, HEAD, "generator=progan")
    assert answer(connection, "calibration", "bin_from", "n", "fake_share", given=given) == [
        (approx(0.1), 1, 0.0),
        (approx(0.8), 1, 1.0),
    ]


def test_thresholds(connection):
    columns = ("threshold", "tnr", "tpr", "balanced_accuracy", "reals", "fakes")
    given = (OLD, HEAD, "steps=2")
    assert answer(connection, "thresholds", *columns, given=given) == [
        (0.0, 0.0, 1.0, 0.5, 2, 2),
        (0.5, 0.5, 0.5, 0.5, 2, 2),
        (1.0, 1.0, 0.0, 0.5, 2, 2),
    ]
    given = (OLD, HEAD, "steps=1", "generator=biggan")
    assert answer(connection, "thresholds", "reals", "run_id", "method", given=given) == [
        (1, "old", "head"),
        (1, "old", "head"),
    ]


def test_operating_points(connection):
    columns = ("generator", "threshold", "fpr", "tpr", "precision", "reals", "fakes")
    assert answer(connection, "operating_points", *columns, given=(OLD, HEAD)) == [
        ("biggan", 0.9, 1.0, 0.0, 0.0, 1, 1),
        ("biggan", 0.4, 1.0, 1.0, 0.5, 1, 1),
        ("progan", 0.8, 0.0, 1.0, 1.0, 1, 1),
        ("progan", 0.1, 1.0, 1.0, 0.5, 1, 1),
    ]
    assert set(answer(connection, "operating_points", "run_id", "method")) == {("new", "head")}


def test_operating_points_leave_out_what_is_nearer_than_a_step():
    found = duckdb.connect()
    found.execute(
        "create table predictions as select 'x' as experiment, 'r' as run_id, 'm' as method, "
        "'clean' as variant, 'g' as generator, (i % 2)::tinyint as label, i / 1000 as probability "
        "from range(1000) t(i)"
    )
    found.execute(
        "create table runs as select 'x' as experiment, 'r' as run_id, 'm' as method, "
        "'clean' as variant, 'clean' as train_variant, now()::timestamp as saved, true as current, "
        "0.5 as validation_ap"
    )
    macro = folder("sql") / "macros" / "chosen_method.sql"
    found.execute(macro.read_text(encoding="utf-8"))
    points = answer(found, "operating_points", "fpr", "tpr", given=("points=10",))
    assert 10 <= len(points) <= 22
    assert points[-1] == (1.0, 1.0)
    assert max(b[0] - a[0] for a, b in pairwise(points)) <= 0.1 + 1e-9


def test_clearest_images(connection):
    columns = ("kind", "image_id", "probability", "generator", "caption")
    assert answer(connection, "clearest_images", *columns, given=(OLD, HEAD)) == [
        ("real", A, 0.1, "progan", "a red cup on a box"),
        ("fake", B, 0.8, "progan", "a cup"),
    ]
    assert answer(connection, "clearest_images", "kind") == [("fake",)]  # new takes a for a fake


def test_image_verdicts(perturbed):
    columns = ("experiment", "method", "variant", "probability")
    rows = [("figure4", "head", "clean", 0.6), ("figure4", "head", "jpeg_50", 0.1)]
    for image in (B, BJ):
        assert answer(perturbed, "image_verdicts", *columns, given=(f"image={image}",)) == rows
    assert answer(perturbed, "image_verdicts", "verdict", given=(f"image={A}",)) == []


@pytest.fixture
def perturbed(known, tmp_path):
    """A run of one method tested clean and in jpeg_50, on two unseen generators and a seen one."""
    folder = tmp_path / "figure4" / "run"
    folder.mkdir(parents=True)
    shared = {"method": "head", "scope": "generator", "train_variant": "clean", "n": 10}
    rows = []
    for generator, clean in (("flow", 0.9), ("vae", 0.7), ("gan", 1.0)):
        for variant, less in (("clean", None), ("jpeg_50", -0.1)):
            ap = clean + (less or 0)
            figures = dict.fromkeys(("ap", "accuracy", "auroc", "tnr", "tpr"), ap)
            changes = {"ap_less_clean": less, "accuracy_less_clean": less and 2 * less}
            about = {"generator": generator, "seen": generator == "gan", "variant": variant}
            rows.append({**shared, **about, **figures, **changes})
    pq.write_table(pa.Table.from_pylist(rows), folder / "metrics.parquet")
    said = [("clean", B, 0.6), ("jpeg_50", BJ, 0.1)]
    predictions = [
        {"method": "head", "image_id": i, "variant": variant, "generator": "flow", "label": 1}
        | {"split": "test", "probability": p}
        for variant, i, p in said
    ]
    pq.write_table(pa.Table.from_pylist(predictions), folder / "predictions.parquet")
    return connect(known, [folder])


def test_run_robustness(perturbed):
    columns = ("experiment", "run_id", "method", "variant", "unseen", "ap", "ap_less_clean", "n")
    rows = [
        ("figure4", "run", "head", "clean", 2, approx(0.8), None, 20),
        ("figure4", "run", "head", "jpeg_50", 2, approx(0.7), approx(-0.1), 20),
    ]
    assert answer(perturbed, "run_robustness", *columns) == rows
    assert answer(perturbed, "run_robustness", *columns, given=("run=run", HEAD)) == rows
    assert answer(perturbed, "run_robustness", *columns, given=("run=other",)) == []
    columns = ("accuracy", "accuracy_less_clean", "tnr", "tpr")
    second = (approx(0.7), approx(-0.2), approx(0.7), approx(0.7))
    assert answer(perturbed, "run_robustness", *columns)[1] == second


def test_run_robustness_needs_a_run_with_variants(connection):
    assert answer(connection, "run_robustness", "run_id") == []


def test_runs_are_asked_about_their_own_variant_unless_another_is_named(perturbed):
    jpeg = ("variant=jpeg_50",)
    assert answer(perturbed, "run_means", "ap") == [(approx(0.8),)]
    assert answer(perturbed, "run_means", "ap", given=jpeg) == [(approx(0.7),)]
    found = answer(perturbed, "run_metrics", "variant", "generator", "ap")
    assert [row[:2] for row in found] == [("clean", "gan"), ("clean", "flow"), ("clean", "vae")]
    assert answer(perturbed, "run_metrics", "ap", given=jpeg)[0] == (approx(0.9),)
    assert answer(perturbed, "calibration", "n", "probability") == [(1, 0.6)]
    assert answer(perturbed, "calibration", "n", "probability", given=jpeg) == [(1, 0.1)]
    assert answer(perturbed, "run_errors", "image_id") == []
    assert answer(perturbed, "run_errors", "image_id", "caption", given=jpeg) == [(BJ, "a cup")]
    assert answer(perturbed, "thresholds", "fakes", "tpr", given=("steps=1", *jpeg))[1] == (1, 0.0)
    assert answer(perturbed, "hardest_images", "image_id", given=jpeg) == [(BJ,)]


def test_a_wrong_parameter_of_a_named_query(connection):
    with pytest.raises(UserError) as caught:
        answer(connection, "run_errors", given=("metod=head",))
    assert caught.value.hint == "did you mean 'method'?"


OF_ONE = ("thresholds", "calibration", "hardest_images", "run_errors", "run_disagreements")
OF_MANY = ("run_metrics", "run_means", "run_seeds", "ablation")


@pytest.fixture
def shared(known, tmp_path):
    """Runs in a store of two DAGs: mine as it is, mine of another state, and theirs, the newest."""
    folders = []
    for saved, (run, dag, prints) in enumerate(
        (
            ("own", "mine", ["f1", "f2"]),
            ("before", "mine", ["f0", "f2"]),
            ("theirs", "other", ["f1"]),
        )
    ):
        folder = tmp_path / "cross" / run
        folder.mkdir(parents=True)
        rows = [
            {"method": method, "scope": "generator", "generator": "biggan", "variant": "clean"}
            | {"train_variant": "clean", "seen": False, "validation_ap": 0.5, "ap": 0.5}
            | {"configuration": "{}", "seed": 0, "dag": dag, "made_from": prints}
            for method in ("head", "probe")
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "metrics.parquet")
        os.utime(folder / "metrics.parquet", (1_000_000 + saved, 1_000_000 + saved))
        predictions = [
            {"method": method, "image_id": C, "variant": "clean", "generator": "biggan"}
            | {"split": "test", "label": 1, "probability": p}
            for method, p in (("head", 0.1), ("probe", 0.9))
        ]
        pq.write_table(pa.Table.from_pylist(predictions), folder / "predictions.parquet")
        folders.append(folder)
    return folders


def of(known, folders, dag, **prints):
    return connect(known, folders, identity=Identity(dag, prints))


def test_a_query_is_about_the_newest_run_of_its_own_dag(known, shared):
    mine = of(known, shared, "mine", captions="f1", features="f2")
    theirs = of(known, shared, "other", captions="f1", features="f9")
    for name in OF_ONE:
        for connection, run in ((mine, "own"), (theirs, "theirs")):
            columns = ("experiment", "run_id", "method")
            assert {row[:2] for row in answer(connection, name, *columns)} == {("cross", run)}, name
        before = answer(mine, name, "experiment", "run_id", given=("run=before",))
        assert set(before) == {("cross", "before")}, name
    assert set(answer(mine, "run_disagreements", "other_experiment", "other_run_id")) == {
        ("cross", "own")
    }
    sql = "select run_id, dag, current from runs where method = 'head' order by run_id"
    assert execute(mine, sql).to_pylist() == [
        {"run_id": "before", "dag": "mine", "current": False},
        {"run_id": "own", "dag": "mine", "current": True},
        {"run_id": "theirs", "dag": "other", "current": False},
    ]


def test_tables_of_runs_are_of_their_own_dag_unless_all_are_asked_for(known, shared):
    mine = of(known, shared, "mine", captions="f1", features="f2")
    for name in OF_MANY:
        assert len(answer(mine, name, "experiment", "method")) == 2, name
        everything = answer(mine, name, "experiment", "method", given=("dags=all",))
        assert len(everything) == (6 if name in ("run_metrics", "run_means") else 2), name
    runs = "run_seeds", "ablation"
    for name in runs:  # of a DAG's state and a seed the newest: here each is another
        assert answer(mine, name, "runs", given=("dags=all",))[0] == (3,), name


def test_a_dag_without_runs_of_its_own_is_told_so(known, shared):
    changed = of(known, shared, "mine", captions="f1", features="f3")
    said = without_runs(changed, resolve("thresholds"))
    assert answer(changed, "thresholds", "run_id") == []
    assert said.startswith("the store has no run of this DAG as it is now: `item train DAG`; there")
    assert "3 runs of other DAGs" in said and "--param dags=all" in said
    assert without_runs(changed, "select 1") is None
    mine = of(known, shared, "mine", captions="f1", features="f2")
    assert without_runs(mine, resolve("thresholds")) is None
    none = of(known, [], "mine")
    assert without_runs(none, "from runs").endswith("as it is now: `item train DAG`")
