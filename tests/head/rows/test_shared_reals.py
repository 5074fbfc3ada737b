"""Reals that several generators share: an experiment's `reals`."""

import pyarrow.compute as pc
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.rows.bind import _distinct
from pipeline.head.rows.selection import select

TRAIN = "generator = 'gan' and split = 'train'"
TEST = "split = 'test' and generator <> 'gan'"
GAN = "generator = 'gan' and split = 'test'"


def selected(connection, **changes):
    return select(connection, Experiment(**{"train": TRAIN, "test": TEST, **changes}), "x")


def ids_of(rows, generator, label):
    wanted = pc.and_(pc.equal(rows["generator"], generator), pc.equal(rows["label"], label))
    return rows.filter(wanted)["image_id"].to_pylist()


def test_every_test_generator_is_measured_against_the_reals_that_are_named(content, store):
    connection = store(content())
    own = selected(connection).test.table
    test = selected(connection, reals=GAN).test
    reals = [f"{i:032x}" for i in range(48, 72)]  # of gan/test; its fakes are no reals
    for generator in ("vae", "flow"):
        assert ids_of(test.table, generator, 0) == reals
        assert ids_of(test.table, generator, 1) == ids_of(own, generator, 1)
    assert test.generators == {"vae", "flow"} and test.table.num_rows == 4 * 24
    assert test.notes == ("48 real images of its own left out for those of `reals`",)
    assert GAN in test.sql and TEST in test.sql
    keys = list(
        zip(test.table["image_id"].to_pylist(), test.table["generator"].to_pylist(), strict=True)
    )
    assert keys == sorted(keys)


def test_reals_may_be_named_for_some_generators(content, store):
    connection = store(content())
    own = selected(connection).test.table
    test = selected(connection, reals={"vae": GAN}).test.table
    assert ids_of(test, "vae", 0) == [f"{i:032x}" for i in range(48, 72)]
    assert ids_of(test, "flow", 0) == ids_of(own, "flow", 0)


def test_a_generator_without_fakes_and_a_predicate_without_reals_are_errors(content, store):
    connection = store(content())
    with pytest.raises(UserError, match="`test` has no fakes of 'vea'") as error:
        selected(connection, reals={"vea": GAN})
    assert "vae" in error.value.hint and error.value.where == "experiments.x.reals"
    with pytest.raises(UserError, match="selects no usable image") as error:
        selected(connection, reals="generator = 'gan' and label = 1")
    assert error.value.where == "experiments.x.reals"
    with pytest.raises(UserError, match="`test` selects no fakes"):
        selected(connection, test=f"{TEST} and label = 0", reals=GAN)
    with pytest.raises(UserError, match="in both training and test"):
        selected(connection, reals=TRAIN)


def test_shared_reals_are_in_every_variant(content, store):
    made = content()
    made.perturb("jpeg_50")
    test = selected(store(made), reals=GAN, test_by="variant").test.table
    assert test.num_rows == 2 * 4 * 24
    ids = ids_of(test.filter(pc.equal(test["variant"], "jpeg_50")), "vae", 0)
    assert ids == [f"{i:032x}-jpeg_50" for i in range(48, 72)]


def test_runs_that_differ_in_their_reals_are_bound_apart():
    runs = [
        Experiment(train=TRAIN, reals=reals, seed=seed)
        for reals in (GAN, {"vae": GAN}, None)
        for seed in (0, 1)
    ]
    assert len(_distinct(runs)) == 3
