"""A DAG's nodes over new images, without a store: the stages of a run, slice by slice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pulse, tables
from pipeline.corpus.decode import sharing
from pipeline.corpus.layouts.plain import UNLABELLED
from pipeline.corpus.limits import with_limits
from pipeline.corpus.variants import CLEAN, variant_id
from pipeline.dag.graph import Node
from pipeline.engine import joint_pass, pace, poison
from pipeline.engine.child import TIMES_FORECAST, Patience
from pipeline.engine.health.device_fault import DeviceFault
from pipeline.engine.work import load_models, reconcile
from pipeline.errors import UserError, worded
from pipeline.spec import Parameters, Stage
from pipeline.stages.images import STAGE as IMAGES
from pipeline.stages.images import described
from pipeline.stages.listing import STAGE as LISTING
from pipeline.stages.listing import Listing

Tables = dict[str, pa.Table]
_ANY = Listing(layout=UNLABELLED.name)


class InMemory:
    """Computes `nodes` (topological order, without the implicit ones) of images in a `variant`.

    `taken`: which files are taken, as a corpus's listing has it.

    The same functions as in a run: the joint pass's slices share decoded pixels, models are loaded
    when the first slice needs them and kept, an image on which a stage fails becomes a failed row.
    `careful`: stages run in child processes, which an image may kill, or hang: one that gives no
    sign of life for `stall` seconds is ended, of fewer images for their share of it.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        variant: str = CLEAN,
        taken: Listing = _ANY,
        careful: bool = False,
        stall: float | None = None,
    ):
        self.nodes, self.variant, self.careful = tuple(nodes), variant, careful
        self._patience = Patience(stall, stall and stall / TIMES_FORECAST)
        self._taken = taken
        self._loaded: dict[str, list[Any]] = {}

    def of_files(
        self, files: pa.Table, done: Callable[[int], None] = lambda images: None
    ) -> tuple[pa.Table, Tables]:
        """(their `listing`, each node's table and `images`) of files as `inputs.table` has them.

        A content is computed once, however many files have it. `done` hears how many more images
        are finished. UserError for what no image is to blame for.
        """
        pulse.node(LISTING.name)
        with _explained(LISTING.name):
            listing = self._run(LISTING, self._taken, {"files": files})
        listing = listing.take(pc.index_in(files["uri"], value_set=listing["uri"]))
        images = self._images(listing)
        found: dict[str, list[pa.Table]] = {node.name: [] for node in self.nodes}
        whole, pixels = images["image_id"].combine_chunks(), joint_pass.pixels(self.nodes)

        def count() -> int:  # each child loads the models anew
            return max(1, len(whole)) if self.careful else pace.images(self.nodes)

        for ids in joint_pass.slices(whole, images, count, pixels):
            own = images.filter(pc.is_in(images["image_id"], value_set=ids))
            with nullcontext() if self.careful else sharing():
                for name, table in self._slice(own).items():
                    found[name].append(table)
            done(len(ids))
        made = {name: pa.concat_tables(some) for name, some in found.items() if some}
        return listing, {"images": images, **made}

    def _images(self, listing: pa.Table) -> pa.Table:
        """The table `images` in the variant, each row with a place of its file and its caption.

        What the listing could not read, or refused, has no row.
        """
        listing = listing.filter(pc.is_null(listing["error"]))
        rows = described(listing)
        first = pc.index_in(rows["image_id"], value_set=listing["image_id"])
        uris, captions = listing["uri"].take(first), listing["given_caption"].take(first)
        if self.variant != CLEAN and len(rows):
            ids = [variant_id(one, self.variant) for one in rows["image_id"].to_pylist()]
            rows = rows.set_column(0, "image_id", pa.array(ids, pa.string()))
            names = pa.array([self.variant] * len(rows), pa.string())
            rows = rows.set_column(1, "variant", names).append_column("uri", uris)
            rows = with_limits(rows, self._taken.limits)
            with _explained(IMAGES.name):
                rows = self._run(IMAGES, IMAGES.parameters(), {"images": rows})
        rows = rows.append_column("uri", uris)
        if any(node.stage.captions(node.parameters) for node in self.nodes):
            rows = rows.append_column("caption", captions)
        return with_limits(rows, self._taken.limits)

    def _slice(self, images: pa.Table) -> Tables:
        known = {"images": images}
        for node in self.nodes:
            inputs = {input_: known[name] for input_, name in node.inputs.items()}
            keys = images["image_id"]
            if node.stage.key == "text_id":
                needed = node.stage.texts(inputs, node.parameters)
                keys = pc.unique(needed["text_id"])
                once = pc.index_in(keys, value_set=needed["text_id"])
                inputs = {"texts": needed.select(["text_id", "text"]).take(once)}
            known[node.name] = self._make(node, inputs, keys, len(images))
        del known["images"]
        return known

    def _make(
        self, node: Node, inputs: Mapping[str, pa.Table], keys: pa.Array, images: int
    ) -> pa.Table:
        with _explained(node.name):
            pulse.node(node.name, loading=True)
            models = self._models(node)
            pulse.node(node.name)
            started = perf_counter()
            table = self._run(node.stage, node.parameters, inputs, models)
            pace.learn(node, images, perf_counter() - started)
            reconcile(node, pc.unique(keys), table)
        return table

    def _run(
        self,
        stage: Stage,
        parameters: Parameters,
        inputs: Mapping[str, pa.Table],
        loaded: Sequence[Any] = (),
    ) -> pa.Table:
        if self.careful:
            table = poison.in_child(stage, parameters, inputs, self._patience)
        else:
            table = poison.in_process(stage, parameters, inputs, loaded)
        tables.check(stage.output, table)
        return table

    def _models(self, node: Node) -> list[Any]:
        if node.name not in self._loaded:
            self._loaded[node.name] = load_models(node, load=not self.careful)
        return self._loaded[node.name]


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What a stage raises, or a library below it, as a UserError that names its node."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, error.where or f"node '{name}'", error.hint) from error
    except DeviceFault as error:
        hint = "start again: a process that has lost its device gets it back no more"
        raise UserError(f"the device is lost: {error}", f"node '{name}'", hint) from error
    except Exception as error:
        raise UserError(
            f"'{name}' failed on every image: {worded(error)}",
            hint="`item doctor DAG` tells whether its model works on this machine",
        ) from error
