"""A task at work: the rows of its nodes' part, made slice by slice and committed as they come."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import dumps
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import models, pulse, tables
from pipeline.corpus import decoders
from pipeline.corpus.decode import sharing
from pipeline.corpus.limits import with_limits
from pipeline.corpus.variants import CLEAN
from pipeline.dag.graph import Node
from pipeline.engine import joint_pass, pace, poison
from pipeline.engine.child import Patience
from pipeline.engine.health import device_fault
from pipeline.engine.machine import on_gpu
from pipeline.errors import UserError, worded
from pipeline.plugins import offered
from pipeline.store.parts import Store, clean_part
from pipeline.store.provenance import libraries, together
from pipeline.store.rows import Rows, counts, digests, row_digests
from pipeline.store.todo import changed_inputs, facts_of, found_by, inputs_of
from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.engine.task import Task

_TEXTS = "text_embeddings"


@dataclass
class _NodeRows:
    """What is known and made of one node: `facts` of its part as it was, if it was there."""

    rows: Rows
    facts: Mapping[str, str] | None
    commit: str | None
    sure: bool = False  # whether the rows that are there are known to be made from today's inputs
    read: float = 0.0  # seconds
    infer: float = 0.0
    used: dict[str, str] = field(default_factory=dict)


class Work:
    """Computes what its nodes lack of a part: see `run`."""

    def __init__(self, store: Store, task: "Task"):
        self._store, self._task, self._nodes = store, task, task.nodes
        self.failures: dict[str, str] = {}
        self.lost: set[str] = set()  # what failed, and what waits for it
        self._loaded: dict[str, list[Any]] = {}
        self._began = datetime.now(UTC)
        started = perf_counter()
        self._order, self._images, images_commit = self._read_images()
        marked = {
            name: store.read_marked(task.folders[name], task.part)
            for name in joint_pass.outside(self._nodes) - {"images"}
        }
        self._outside = {name: table for name, (table, _) in marked.items()}
        self._outside["images"] = self._images
        self._commits = {name: commit for name, (_, commit) in marked.items()}
        self._commits["images"] = images_commit
        self._made = {node.name: self._read_rows(node) for node in self._nodes}
        for node in self._nodes:
            made = self._made[node.name]
            outdated = made.facts and changed_inputs(made.facts, self._now(node))
            by_content = node.stage.key == "image_id" and node.stage.finds is None
            made.sure = by_content and not outdated
        self._made[self._nodes[0].name].read = perf_counter() - started  # counted once
        self._text_digests: dict[str, pa.Array] = {}

    def run(self) -> None:
        """Computes and commits what the nodes lack; `failures` says what of them failed, and why.

        Raises UserError for what the user can mend, DeviceFault when this process has lost its
        device.
        """
        (first, *_) = self._nodes
        opened = sum("images" in node.stage.inputs for node in self._nodes)
        if first.stage.key == "text_id":
            keys, go, images = *self._lacking_texts(first), None
            if not len(self._order) and not self._made[first.name].facts:
                go(keys)  # a part without any text is an empty table, of the model's width
        else:
            keys, go = self._lacking_images(), self._slice
            images = self._images if opened > 1 else None
        pixels, last = joint_pass.pixels(self._nodes), monotonic()
        for some in joint_pass.slices(keys, images, self._count(len(keys)), pixels):
            with sharing() if opened > 1 and not self._task.careful else nullcontext():
                go(some)
            if monotonic() - last > pace.COMMIT:
                for node in self._nodes:
                    self._commit(node, finished=False)
                last = monotonic()
        for node in self._nodes:
            self._commit(node, finished=node.name not in self.lost)

    def _count(self, most: int) -> Callable[[], int]:
        if self._task.careful:  # each child loads the models anew
            return lambda: max(1, most)
        return lambda: pace.images(self._nodes)

    def _read_images(self) -> tuple[pa.Array, pa.Table, str]:
        """(the ids of all members, in order; the asked images, each with its uri; their commit)."""
        one, folder = self._task.asked, self._task.folders["images"]
        clean, _ = self._store.read_marked(folder, clean_part(one.part))
        members = clean["image_id"].combine_chunks()
        if one.variant != CLEAN:
            members = pc.binary_join_element_wise(members, one.variant, "-")
        if self._nodes[0].name == "images":  # of which the variants are to be made
            rows, commit = clean.set_column(0, "image_id", members), ""
            variants = pa.array([one.variant] * len(rows), pa.string())
            rows = rows.set_column(1, "variant", variants)
        elif one.variant == CLEAN:
            rows, commit = clean, self._store.commit(folder, one.part) or ""
        else:
            rows, commit = self._store.read_marked(folder, one.part)
        rows = rows.take(pc.index_in(one.ids, value_set=rows["image_id"]).drop_null())
        files = one.files.take(pc.index_in(rows["image_id"], value_set=one.ids).combine_chunks())
        rows = tables.declared(rows)
        for name in files.column_names[1:]:
            rows = rows.append_column(name, files[name])
        return members, with_limits(rows, self._task.limits), commit

    def _read_rows(self, node: Node) -> _NodeRows:
        facts = facts_of(self._store, node, self._task.part)
        table = None if facts is None else self._store.read(node.folder, self._task.part)
        return _NodeRows(Rows(node.stage.key, table), facts, facts["commit"] if facts else None)

    def _now(self, node: Node) -> dict[str, str | None]:
        """Input -> its commit."""
        known = self._commits | {name: made.commit for name, made in self._made.items()}
        return {input_: known[name] for input_, name in inputs_of(node).items()}

    def _lacking_images(self) -> pa.Array:
        """The asked images that any node may have to make anew, in their order."""
        ids = self._task.asked.ids
        if not all(made.sure for made in self._made.values()):
            return ids
        lacking = [made.rows.lacking(ids) for made in self._made.values()]
        return ids.filter(pc.is_in(ids, value_set=pa.chunked_array(lacking, pa.string())))

    def _lacking_texts(self, node: Node) -> tuple[pa.Array, Callable[[pa.Array], None]]:
        """The texts that a node is to embed, by id, and what embeds some of them.

        They are those of all images that its inputs have, so that these alone decide about them.
        """
        inputs = {input_: self._outside[name] for input_, name in node.inputs.items()}
        needed = node.stage.texts(inputs, node.parameters)
        self._order = pc.unique(needed["text_id"])
        first = pc.index_in(self._order, value_set=needed["text_id"])
        texts = needed.select(["text_id", "text"]).take(first)
        rows = self._made[node.name].rows
        known = rows.known()
        rows.drop(known.filter(pc.invert(pc.is_in(known, value_set=self._order))))

        def embed(ids: pa.Array) -> None:
            some = texts.filter(pc.is_in(texts["text_id"], value_set=ids))
            self._make(node, {"texts": some}, ids, pa.array([0] * len(ids), pa.int64()))

        return rows.lacking(self._order), embed

    def _slice(self, keys: pa.Array) -> None:
        """Makes the rows of these images that are lacking, or made from other rows than now."""
        known = {name: _restricted(table, keys) for name, table in self._outside.items()}
        for node in self._nodes:
            if node.name in self.lost or self.lost & set(node.inputs.values()):
                self.lost.add(node.name)
                continue
            inputs = {input_: known[name] for input_, name in node.inputs.items()}
            if node.name == "images":
                inputs = {"images": known["images"]}
            own = _with_rows(inputs, keys)
            made_from = digests(inputs | self._beside(node, inputs), own)
            todo = self._made[node.name].rows.outdated(own, made_from)
            if len(todo):
                made_from = made_from.filter(pc.is_in(own, value_set=todo))
                some = {input_: _restricted(table, todo) for input_, table in inputs.items()}
                self._make(node, some, todo, made_from)
            if node.name not in self.lost:
                known[node.name] = self._made[node.name].rows.of(keys)

    def _beside(self, node: Node, inputs: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """What a row depends on beside the rows of the inputs with its image_id."""
        found = found_by(node, inputs)
        if node.stage.texts is not None:
            texts, needed = inputs[_TEXTS], node.stage.texts(inputs, node.parameters)
            name = node.inputs[_TEXTS]
            if name not in self._text_digests:
                self._text_digests[name] = row_digests(texts)
            at = pc.index_in(needed["text_id"], value_set=texts["text_id"]).combine_chunks()
            digest = self._text_digests[name].take(at)
            found["text rows"] = pa.table({"image_id": needed["image_id"], "digest": digest})
        return found

    def _make(
        self, node: Node, inputs: Mapping[str, pa.Table], keys: pa.Array, made_from: pa.Array
    ) -> None:
        """Runs a node's stage for these keys; what it cannot compute makes the node `lost`."""
        made, task = self._made[node.name], self._task
        try:
            if node.name not in self._loaded:
                pulse.node(node.name, loading=True)
                self._loaded[node.name] = load_models(node, load=not task.careful)
                made.used = used(self._loaded[node.name])
            pulse.node(node.name)
            started = perf_counter()
            if task.careful:
                share = len(keys) / max(len(task.asked.ids), len(keys))
                forecast = None if task.forecast is None else task.forecast * share
                patience = Patience(task.stall, forecast)
                table = poison.in_child(node.stage, node.parameters, inputs, patience)
            else:
                loaded = self._loaded[node.name]
                table = poison.in_process(node.stage, node.parameters, inputs, loaded)
            tables.check(node.stage.output, table)
            reconcile(node, keys, table)
        except UserError:
            raise
        except Exception as error:  # a stage, or a library below it, may raise anything
            device_fault.pass_on(error)
            place = offered.place_of(error)
            self.failures[node.name] = worded(error) + (f" ({place})" if place else "")
            self.lost.add(node.name)
            return
        seconds = perf_counter() - started
        made.infer += seconds
        pace.learn(node, len(keys), seconds)
        if node.stage.key == "image_id":
            pulse.count(len(keys))
        made.rows.put(keys, table, made_from)

    def _commit(self, node: Node, finished: bool) -> None:
        """Writes what there is of a node's part, unless that is what lies there.

        The footer names the inputs as far as all rows are known to be made from them: what is left
        unfinished is looked at again, row by row.
        """
        made = self._made[node.name]
        if finished and not made.sure and node.stage.key == "image_id":
            # what another corpus asked for was not looked at: it must not pass for current
            known = made.rows.known()
            made.rows.drop(known.filter(pc.invert(pc.is_in(known, value_set=self._task.asked.ids))))
        now, before = self._now(node), made.facts or {}
        inputs = dumps(now if finished or made.sure else {})
        if not made.rows.changed and before.get("inputs") == inputs:
            return
        table = made.rows.table(self._order)
        if table is None:
            return
        facts = self._facts(node, made, table) | {"inputs": inputs}
        self._store.write(node.folder, self._task.part, table, facts)
        made.read = made.infer = 0.0
        made.facts = facts_of(self._store, node, self._task.part)
        made.commit = made.facts["commit"] if made.facts else None

    def _facts(self, node: Node, made: _NodeRows, table: pa.Table) -> dict[str, Any]:
        before = made.facts or {}
        own = {"host": socket.gethostname(), "libraries": libraries(), **made.used}
        if made.rows.kept:
            own = {name: together(before.get(name, ""), value) for name, value in own.items()}
        spent = {
            f"seconds_{what}": round(seconds + float(before.get(f"seconds_{what}", 0)), 4)
            for what, seconds in (("read", made.read), ("infer", made.infer))
        }
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        began = self._began.isoformat(timespec="milliseconds")
        return {
            "node": node.name,
            **counts(node.stage.key, table),
            **spent,
            **own,
            "run": self._task.run,
            "started": before.get("started", began),
            "finished": now,
            "version": __version__,
        }


def _restricted(table: pa.Table, keys: pa.Array) -> pa.Table:
    """The rows of some images; all of a table that is not keyed by them."""
    if "image_id" not in table.column_names:
        return table
    return table.filter(pc.is_in(table["image_id"], value_set=keys))


def _with_rows(inputs: Mapping[str, pa.Table], keys: pa.Array) -> pa.Array:
    """Those of the images that all of the inputs have."""
    for table in inputs.values():
        if "image_id" in table.column_names:
            keys = keys.filter(pc.is_in(keys, value_set=table["image_id"]))
    return keys


def load_models(node: Node, load: bool = True) -> list[Any]:
    """The node's models, loaded. UserError when the run was planned with others."""
    specs = node.stage.models(node.parameters)
    if [spec.identity() for spec in specs] != node.recipe["models"]:
        raise UserError(
            f"the model of '{node.name}' is not the one that the run was planned with",
            hint="its files changed, or this worker sees others; run again",
        )
    if not load:
        return []
    if "images" in node.stage.inputs and on_gpu([node]):
        decoders.pool(getattr(node.parameters, "threads", None))  # begins while weights are read
    return [models.get(spec) for spec in specs]


def used(loaded: Sequence[Any]) -> dict[str, str]:
    """Where and in which precision models ran, which `auto` leaves to the machine."""
    facts = {}
    for fact in ("device", "precision"):
        given = {getattr(model, f"{fact}_used", None) for model in loaded} - {None}
        facts[fact] = ", ".join(sorted(given))
    return facts


def reconcile(node: Node, keys: pa.Array, table: pa.Table) -> None:
    """RuntimeError when a stage has lost a row of these keys, or invented one."""
    out = pc.unique(table[node.stage.key])
    if set(out.to_pylist()) != set(keys.to_pylist()):
        raise RuntimeError(
            f"{node.name}: {len(keys)} rows in, {len(out)} rows out: the stage lost some"
        )
