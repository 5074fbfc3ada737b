"""Experiments of a DAG: what must be there before one that reads variants is trained."""

import pytest

from pipeline.cli.experiments import _check_partial
from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError


class Graph:
    def __init__(self, **keys):
        self.experiments = {"x": Experiment(train="split = 'train'", **keys)}


def test_variants_that_are_not_made_are_an_error_unless_partial():
    lacking = {"part-00000-test.blur_2.v1-00000000.parquet": 31}
    with pytest.raises(UserError, match="not made yet: 1 part of images in variants, 31 rows"):
        _check_partial(Graph(test_by=("variant",)), "x", lacking)
    _check_partial(Graph(test_by=("variant",), partial=True), "x", lacking)


@pytest.mark.parametrize(
    ("keys", "reads"),
    [
        ({}, False),
        ({"variant": "jpeg_50"}, True),
        ({"test_by": ("generator", "variant")}, True),
        ({"preset": "figure4"}, True),
    ],
)
def test_which_experiments_read_variants(keys, reads):
    assert Experiment(train="split = 'train'", **keys).reads_variants is reads
