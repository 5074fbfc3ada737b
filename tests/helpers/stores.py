"""Stores as runs make them, without a command line: indexed, or computed in this process."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.dag.graph import Dag, Node
from pipeline.engine.drive import drive
from pipeline.engine.executors import Inline
from pipeline.engine.queues.index import find, listing_queue
from pipeline.engine.queues.schedule import Schedule
from pipeline.engine.task import execute
from pipeline.store.contents import Asked, asked
from pipeline.store.parts import Store
from pipeline.store.register import register, write_given
from pipeline.store.snapshot import Changes, compare, drop_outdated, take_over
from tests.helpers.queues import Alone


def listed(dag: Dag, store: Store) -> Changes:
    """Brings the listing of a store, and its contents, up to date; returns what had changed."""
    store.create()
    for name in ("listing", "images"):
        store.open_node(dag.nodes[name], dag.name, dag.corpus.root)
    changes = compare(dag, store, find(dag, store, keep=True))
    before = drop_outdated(dag, store, changes)
    for task in listing_queue(dag, store, take_over(dag, store, changes.new, before)).tasks:
        execute(task)
    register(dag, store)
    return changes


def schedule(dag: Dag, store: Store, nodes: Sequence[Node]) -> Schedule:
    """What is to do of some nodes."""
    for node in nodes:
        store.open_node(node, dag.name)
    return Schedule(store, nodes, asked(dag, store), dag.nodes)


def computed(dag: Dag, store: Store, nodes: Sequence[Node]) -> None:
    """Computes what these nodes lack."""
    queue = Alone(schedule(dag, store, nodes))
    assert drive(queue, Inline(), lambda receipt: None, lambda *why: pytest.fail(str(why))) == 0


def members(store: Store, images: Node, part: str, ids: Sequence[str]) -> Asked:
    """Registers a part of these images, which have no files; returns it as all asked for."""
    store.open_node(images, "small")
    columns = {"image_id": ids, "variant": ["clean"] * len(ids)}
    write_given(store, images, part, tables.build("images", columns))
    asked_for = pa.array(ids, pa.string())
    return Asked(part, "clean", asked_for, asked_for, len(ids))
