"""DAGs that make some of the tables train with what they have."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import BASELINES
from pipeline.errors import UserError
from pipeline.head.report.run_table import render
from pipeline.head.rows.selection import select
from pipeline.head.run import run_experiment
from pipeline.head.vectors.matrices import matrices
from pipeline.query.questions import connect
from pipeline.store.parts import write_part

IMAGES = {"listing", "images", "image_embeddings"}
CAPTIONS = {"listing", "images", "captions", "text_embeddings"}
EXPERIMENT = {
    "train": "generator = 'gan' and split = 'train'",
    "test": "split = 'test'",
    "allow_overlap": True,
    "head": {
        "hidden": [16],
        "epochs": 20,
        "least_steps": 1,
        "batch_size": 16,
        "learning_rate": 0.01,
    },
}


@pytest.mark.parametrize(
    ("made", "methods"),
    [
        (IMAGES, ["image", "linear probe", "k-NN", "metadata"]),
        (CAPTIONS, ["text", "caption text", "metadata"]),
        (
            IMAGES | CAPTIONS,
            ["global", *BASELINES],
        ),
    ],
)
@pytest.mark.parametrize("memory", [None, 1_000_000])
def test_an_experiment_without_features_of_its_own_trains(
    content, store, tmp_path, made, methods, memory
):
    experiment = Experiment.model_validate(EXPERIMENT).on(made)
    result = run_experiment(
        store(content(), made), experiment, "some", tmp_path / "runs", {}, memory=memory
    )
    assert result.means["method"].to_pylist() == methods
    own = {row["method"]: row["ap"] for row in result.means.to_pylist()}
    for method in set(methods) & {"image", "linear probe", "global", "concat MLP"}:
        assert own[method] > 0.9, method
    assert own["metadata"] < 0.8
    text = render(result)
    assert all(f"\n{method} " in text for method in methods)


def test_the_global_misalignment_of_cached_pairs_is_that_of_the_features_node(content, store):
    made = content()
    ids = pa.chunked_array([made.listing["image_id"][:9]])
    experiment = Experiment.model_validate(EXPERIMENT).on(IMAGES | CAPTIONS)
    x = matrices(store(made, IMAGES | CAPTIONS), ids, experiment)
    captions = made.captions["caption"][:9]

    def unit(vectors):
        stored = np.asarray(vectors, np.float16).astype(np.float64)
        return stored / np.linalg.norm(stored, axis=1, keepdims=True)

    v, t = unit(made.features["embedding"][:9]), unit([made.texts[text] for text in captions])
    assert x["global"] == pytest.approx(v - t, abs=1e-6)
    assert x["cosine_global"][:, 0] == pytest.approx((v * t).sum(axis=1), abs=1e-6)
    assert x["text"].shape == x["image"].shape == (9, 8)


def test_rows_fail_or_lack_by_what_is_read(content, store):
    made = content()
    made.captions["error"] = [None] * len(made.captions["caption"])
    made.captions["error"][0], made.captions["caption"][0] = "no caption", None
    connection = store(made, CAPTIONS)
    found = select(connection, Experiment.model_validate(EXPERIMENT).on(CAPTIONS), "some")
    assert found.train.notes == ("1 failed rows left out",)
    with pytest.raises(UserError, match="no node of this DAG makes") as caught:
        wrong = {**EXPERIMENT, "train": "cosine_global > 0.2"}
        select(connection, Experiment.model_validate(wrong).on(CAPTIONS), "some")
    assert caught.value.where == "experiments.some.train"


def test_images_are_missing_by_the_tables_that_are_read(content, store):
    made = content()
    made.captions = {name: values[:200] for name, values in made.captions.items()}
    with pytest.raises(UserError, match=r"rows missing in captions"):
        select(store(made, CAPTIONS), Experiment.model_validate(EXPERIMENT).on(CAPTIONS), "some")
    only = Experiment.model_validate(EXPERIMENT).on(IMAGES)
    found = select(store(made), only, "some")  # nothing of it reads captions
    assert pc.count(found.test.table["image_id"]).as_py() == 144


OBJECTS = IMAGES | CAPTIONS | {"objects", "object_embeddings"}


def test_local_misalignment_without_a_features_node(content, store, tmp_path):
    """Images whose objects are not embedded yet are missing, and not ones without objects."""
    made = content()
    ids = made.objects["image_id"]
    lost = [row for row, i in enumerate(ids) if i == f"{1:032x}"]
    for row in lost:  # all its objects failed: so has the image, as in `features`
        made.objects["error"][row] = "no region"
    bare = [i for row, i in enumerate(made.listing["image_id"]) if row % 8 == 0]
    parts = made.write(tmp_path / "made")
    for path in parts["object_embeddings"][1]:  # a caption without objects has one row
        table = pq.read_table(path)
        own = pq.read_table(path.parents[1] / "images" / path.name)["image_id"].to_pylist()
        more = {"image_id": [i for i in bare if i in own]}
        both = [table, tables.build("object_embeddings", more, 8)]
        write_part(path, pa.concat_tables(both).sort_by("image_id"), {})
    there = {name: parts[name] for name in OBJECTS}
    experiment = Experiment.model_validate(EXPERIMENT).on(OBJECTS)
    assert experiment.features == ("global", "local")
    found = select(connect(there), experiment, "some")
    assert found.train.notes == ("1 failed rows left out",)
    x = matrices(connect(there), pa.chunked_array([[bare[0], f"{2:032x}"]]), experiment)
    assert (x["local"][0] == 0).all() and x["local"][1].any()
    for path in parts["object_embeddings"][1]:  # computed for some images only
        table = pq.read_table(path)
        write_part(path, table.filter(pc.not_equal(table["image_id"], f"{2:032x}")), {})
    with pytest.raises(UserError, match=r"1 of \d+ selected .* in object_embeddings 1"):
        select(connect(there), experiment, "some")
