"""Processes beside each other: one that dies takes no image with it."""

import os
import signal

import pytest

from pipeline.dag.graph import load
from pipeline.predict.inputs import found, table
from pipeline.predict.workers import Workers
from tests.conftest import draw


def test_a_process_that_dies_costs_no_image_and_the_others_go_on(world, tmp_path):
    for number in range(6):
        draw(tmp_path / f"{number}.jpg", 900 + number)
    files = found([str(tmp_path)], bytes)
    chunks = [table(files[start : start + 2]) for start in (0, 2, 4)]
    node = load(str(world.dag)).nodes["image_embeddings"]
    with Workers([node], "clean", 1) as pool:
        made = pool.map(chunks, lambda images: None)
        rows = [next(made)]
        (pid,) = pool._pool._processes
        os.kill(pid, signal.SIGKILL)
        rows += list(made)
    assert len(rows) == 3
    for listing, tables in rows:
        assert len(listing) == len(tables["image_embeddings"]) == 2
        assert tables["image_embeddings"]["error"].null_count == 2


def test_what_the_user_can_mend_comes_through(world, tmp_path):
    from pipeline.errors import UserError

    draw(tmp_path / "a.jpg", 1)
    node = load(str(world.dag)).nodes["image_embeddings"]
    wrong = type(node)(**{**vars(node), "recipe": {**node.recipe, "models": []}})
    with (
        Workers([wrong], "clean", 1) as pool,
        pytest.raises(UserError, match="is not the one that the run was planned with"),
    ):
        list(pool.map([table(found([str(tmp_path)], bytes))], lambda images: None))
