"""A head on the tables that a DAG's nodes made of new images, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.dag.graph import Dag, Node
from pipeline.dag.inputs import way
from pipeline.errors import UserError
from pipeline.head.rows.computed import Computed
from pipeline.head.vectors.matrices import part_matrices
from pipeline.head.vectors.parts import Part, Parts
from pipeline.query.part_sql import identifier
from pipeline.query.views import canonical_nodes
from pipeline.tables import COLUMNS

if TYPE_CHECKING:
    from pipeline.head.methods.mlp import Head

SHOWN = ("captions", "objects", "regions", "misalignment")  # tables beside those of a method
_KEYS = ("image_id", "object_no", "text", "caption", "error")


@dataclass(frozen=True)
class _Made(Part):
    """A part whose tables are in memory; `files` is empty."""

    tables: Mapping[str, pa.Table] = field(default_factory=dict)

    def whole(self, table: str, columns: list[str]) -> pa.Table:
        return self.tables[table].select(columns)


@dataclass(frozen=True)
class Reading:
    """What a method of an experiment reads of a DAG: matrices, tables, and the nodes behind them.

    `nodes`: those to compute, in topological order. `read`: the tables, and probed nodes, that the
    method reads. `named`: each of these, and each of SHOWN that a node makes -> its node.
    """

    experiment: Experiment
    method: str
    nodes: tuple[Node, ...]
    read: frozenset[str]
    named: Mapping[str, str]

    @classmethod
    def of(cls, graph: Dag, experiment: Experiment, method: str) -> "Reading":
        """UserError where no node makes what the method reads."""
        outputs = {node.name: (node.stage.output, []) for node in graph.nodes.values()}
        one_node = {t: node for t, node in canonical_nodes(outputs).items() if node is not None}
        made = set(one_node) | {*experiment.probes.values()} & set(graph.nodes)
        tables: set[str] = set()
        for matrix in experiment.reads[method]:
            found = way(experiment.ways(matrix), made)
            if found is None:
                raise UserError(
                    f"no node of the DAG makes what '{method}' reads",
                    str(graph.path),
                    "take the DAG that the run was trained by",
                )
            tables |= found
        shown = {table for table in SHOWN if table in one_node}
        named = {table: one_node.get(table, table) for table in tables | shown}
        needed = {node.name for name in named.values() for node in graph.upstream(name)}
        nodes = tuple(node for node in graph.computed if node.name in needed)
        return cls(experiment, method, nodes, frozenset(tables), {**named, "images": "images"})

    def tables(self, made: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """Table, or probed node -> its rows, of what the nodes made."""
        return {table: made[node] for table, node in self.named.items()}

    def errors(self, tables: Mapping[str, pa.Table]) -> dict[str, str]:
        """image_id -> why it lacks what the method reads.

        One place decides what has failed, for training as well: `pipeline.head.rows.computed`.
        """
        import duckdb

        computed = Computed.among(self.read, self.read - set(COLUMNS))
        asked = {"images", *computed.tables, *(["captions", "text_embeddings"] * computed.texts)}
        with duckdb.connect() as connection:
            connection.execute("create schema store")
            for name in sorted(asked):
                keys = [key for key in _KEYS if key in tables[name].column_names]
                connection.register("given", tables[name].select(keys))
                place = "store." if name == "object_embeddings" else ""
                connection.execute(f"create table {place}{identifier(name)} as from given")
            found = connection.execute(
                f"select images.image_id, coalesce(images.error, {computed.error}) as error "
                f"from images {computed.joins('images.image_id')}"
            ).fetchall()
        return {image_id: error for image_id, error in found if error is not None}

    def probabilities(
        self, head: "Head", tables: Mapping[str, pa.Table], ids: pa.Array
    ) -> np.ndarray:
        """What the head says of these images, which have not failed: of fake, float64 [n].

        UserError where a matrix is not as wide as the head's own.
        """
        matrices = self.experiment.reads[self.method]
        if not len(ids):
            return np.empty(0)
        rows = np.arange(len(ids))
        part = _Made("these images", ids, rows, {}, tables)
        parts = Parts(len(ids), (), frozenset(tables), (part,))
        x = part_matrices(part, self.experiment, parts, set(matrices))
        columns = [np.float32(x[name]) for name in matrices]
        return head.probabilities(np.concatenate(columns, axis=1))
