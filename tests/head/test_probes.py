"""A linear probe of what another node of image embeddings has."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline import tables
from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import BASELINES
from pipeline.errors import UserError
from pipeline.head.methods.baselines import Side, logistic
from pipeline.head.rows.selection import select
from pipeline.head.run import run_experiment
from pipeline.head.vectors.matrices import matrices
from pipeline.head.vectors.row_reader import InMemory
from pipeline.query.questions import connect
from pipeline.store.parts import write_part

EXPERIMENT = Experiment(
    train="generator = 'gan' and split = 'train'",
    test="split = 'test' and generator <> 'gan'",
    head={"hidden": [4], "epochs": 1, "least_steps": 1, "batch_size": 16},
    probes={"DINOv2": "dinov2"},
    bootstrap=0,
)
METHOD, WIDTH = "linear probe of DINOv2", 40


@pytest.fixture
def probed(content, tmp_path):
    """A store whose node `dinov2` has vectors of 40 numbers, and these numbers by image_id."""

    def write(made=None, failed=(), absent=()):
        made = made or content()
        outputs = made.write(tmp_path / "store")
        ids = made.features["image_id"]
        rng = np.random.default_rng(8)
        labels = dict(zip(made.listing["image_id"], made.listing["label"], strict=True))
        shift = np.array([labels[image_id[:32]] for image_id in ids])[:, None]
        values = (rng.standard_normal((len(ids), WIDTH)) * 0.1 + 0.02 * shift).astype(np.float16)
        paths = []
        for path in outputs["features"][1]:
            own = pq.read_table(path)["image_id"].to_pylist()
            own = [one for one in own if one not in absent]
            at = [ids.index(one) for one in own]
            good = np.array([one not in failed for one in own])
            columns = {
                "image_id": own,
                "embedding": tables.vectors(values[at], good),
                "norm": [1.0] * len(own),
                "error": [None if ok else "no embedding in the file" for ok in good],
            }
            paths.append(tmp_path / "store" / "dinov2" / path.name)
            paths[-1].parent.mkdir(exist_ok=True)
            write_part(paths[-1], tables.build("image_embeddings", columns, WIDTH), {})
        connection = connect({**outputs, "dinov2": ("image_embeddings", paths)})
        return connection, dict(zip(ids, values.astype(np.float32), strict=True))

    return write


def probabilities(result, method):
    found = pq.read_table(result.folder / "predictions.parquet")
    found = found.filter(pc.equal(found["method"], method))
    columns = (found[name].to_pylist() for name in ("image_id", "probability"))
    return dict(zip(*columns, strict=True))


@pytest.mark.parametrize("memory", [None, 700_000])
def test_its_row_is_the_same_logistic_regression_on_the_nodes_vectors(
    content, probed, tmp_path, memory
):
    """Held in memory, and streamed from files."""
    connection, vectors = probed(content(num=200))
    lines, out = [], tmp_path / "runs"
    result = run_experiment(connection, EXPERIMENT, "x", out, {}, lines.append, memory=memory)
    assert any("streaming" in line for line in lines) == (memory is not None)
    assert pc.unique(result.metrics["method"]).to_pylist() == list(EXPERIMENT.methods)
    assert EXPERIMENT.methods[-2:] == (list(BASELINES)[-1], METHOD)
    found = select(connection, EXPERIMENT, "x")
    sides = [
        Side(
            InMemory(np.stack([vectors[i] for i in rows.table["image_id"].to_pylist()])), rows.label
        )
        for rows in (found.train, found.validation)
    ]
    tuned = logistic(*sides)
    tested = found.test.table["image_id"].to_pylist()
    expected = tuned.predict(InMemory(np.stack([vectors[i] for i in tested])))
    own = probabilities(result, METHOD)
    np.testing.assert_allclose(
        [own[i] for i in tested], expected, atol=1e-6 if memory is None else 2e-3
    )
    plain = probabilities(result, "linear probe")
    assert max(abs(own[i] - plain[i]) for i in tested) > 0.01
    chosen = dict(zip(*(result.metrics[c].to_pylist() for c in ("method", "tuned")), strict=True))
    assert chosen[METHOD] == tuned.chosen


def test_every_method_is_of_the_images_that_the_node_has_too(probed):
    train, tested = f"{3:032x}", f"{150:032x}"
    connection, _ = probed(failed=(train, tested))
    found = select(connection, EXPERIMENT, "x")
    for rows, image_id in ((found.train, train), (found.test, tested)):
        assert image_id not in rows.table["image_id"].to_pylist()
        assert rows.notes == ("1 failed rows left out",)
    without = select(connection, EXPERIMENT.model_copy(update={"probes": {}}), "x")
    assert without.test.notes == ()


def test_rows_that_the_node_has_not_yet(probed):
    lost = (f"{3:032x}", f"{4:032x}")
    connection, _ = probed(absent=lost)
    with pytest.raises(UserError, match=r"2 of 48 selected images are not computed yet.*dinov2 2"):
        select(connection, EXPERIMENT, "x")
    partial = EXPERIMENT.model_copy(update={"partial": True})
    assert select(connection, partial, "x").train.notes == (
        "partial: 46 of 48 images are computed",
    )


def test_in_every_variant_the_node_must_have_the_image_too(content, probed):
    made = content()
    made.perturb("jpeg_50")
    both = EXPERIMENT.model_copy(update={"test_by": ("variant",)})
    failed = f"{150:032x}-jpeg_50"
    connection, _ = probed(made, failed=(failed,))
    found = select(connection, both, "x").test
    assert found.table.num_rows == 2 * (96 - 1)
    assert found.notes == (
        "1 images that failed in a variant left out, so that all variants are of the same images",
    )


def test_the_matrices_are_by_number_and_as_wide_as_the_node_has_them(probed):
    connection, vectors = probed()
    ids = select(connection, EXPERIMENT, "x").test.table["image_id"]
    x = matrices(connection, ids, EXPERIMENT)
    np.testing.assert_array_equal(x["node:dinov2"], [vectors[i] for i in ids.to_pylist()])
    assert x["image"].shape == (len(ids), 8)


def test_a_node_named_like_its_table_can_be_probed(content, store):
    again = EXPERIMENT.model_copy(update={"probes": {"own": "image_embeddings"}})
    connection = store(content())
    x = matrices(connection, select(connection, again, "x").test.table["image_id"], again)
    np.testing.assert_array_equal(x["node:image_embeddings"], x["image"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"probes": {"DINOv2": {"node": "dinov2"}}}, "valid string"),
        (
            {"probes": {"x": "n"}, "foreign": {"linear probe of x": "w.pth"}},
            "two methods are called linear probe of x",
        ),
        ({"probes": {"x": "n"}, "compare_to": "linear probe of y"}, "of x'"),
    ],
)
def test_senseless_declarations_are_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        Experiment(train="true", **given)
