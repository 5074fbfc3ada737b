"""Experiments bound before anything is computed: what their SQL names, and whom it selects.

A misspelt column must not be found after days of captioning. So the predicates are bound against
what is known early: the listing of the store; for files that it lacks, the labels of their paths.
What is not known yet (the facts of such files, all features) is there as typed nulls. Names and
types are checked of every predicate; what it selects only where it names nothing that is unknown.
There the checks are those of training itself (`selection.select`), over images of which none has
failed: an error here is one there.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.corpus.layouts.labels import Labels
from pipeline.corpus.variants import ALL, CLEAN, variant_id
from pipeline.dag.experiment import Experiment
from pipeline.dag.file import Corpus
from pipeline.errors import UserError
from pipeline.head.rows.columns import COLUMNS, OF_PATHS, made, query
from pipeline.head.rows.computed import COMPUTED, OF_OBJECTS
from pipeline.head.rows.presets import expand
from pipeline.head.rows.selection import ADVICE, experiment_rows, read_sides, select
from pipeline.query import open_store, views
from pipeline.query.part_sql import Tables, identifier, literal, no_rows
from pipeline.store.contents import asked
from pipeline.store.snapshot import Changes
from pipeline.store.todo import current_parts
from pipeline.tables import COLUMNS as TABLES
from pipeline.tables import OWN

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag, Draft
    from pipeline.store.parts import Store

_SIDES = ("train", "validation", "test", "reals")
_FACTS = {name for name, view in COLUMNS.items() if view == "listing"} - set(OF_PATHS)
_FEATURES = {name for name, view in COLUMNS.items() if view == "features"}
_ELSEWHERE = {"select", "from", "columns"}  # words by which a predicate reads what is not here
# what they expand to follows from the rows
_BY_ROWS = ("leave_one_out", "train_x_test", "temporal", "cross_dataset")
# what of an experiment decides about its rows, of all that a sweep may change
_DECISIVE = (*_SIDES, "variant", "test_by", "allow_overlap")


def bind(graph: "Dag", store: "Store", changes: Changes) -> list[str]:
    """Checks the experiments of a DAG; `changes` are those of the corpus that are not listed yet.

    Returns the experiments of which not every selection could be checked. Raises UserError, with
    the DAG file and the key, for what `selection.select` and `presets.expand` refuse.
    """
    if not graph.experiments:
        return []
    # only the listing's rows are needed: a part that is damaged elsewhere is not ours to find
    outputs = {node.name: (node.stage.output, []) for node in graph.nodes.values()}
    listing = graph.nodes["listing"]
    outputs["listing"] = ("listing", store.parts(listing))

    def computed() -> "DuckDBPyConnection | None":
        """The real rows, when all of them are there."""
        if changes or not _complete(graph, store):
            return None
        return open_store.connect(graph, store, runs=False)

    return _bind(graph.path, graph.corpus, graph.experiments, outputs, changes, computed)


def bind_draft(draft: "Draft", files: pa.Table) -> list[str]:
    """The same for a DAG whose models are not there, from all the files of its corpus."""
    outputs = {name: (stage.output, []) for name, (stage, _, _) in draft.nodes.items()}
    outputs |= {name: (name, []) for name in ("listing", "images")}
    file, changes = draft.file, Changes(files, {}, 0, 0)
    return _bind(draft.path, file.corpus, file.experiments, outputs, changes, lambda: None)


def _complete(graph: "Dag", store: "Store") -> bool:
    """Whether every node has every part, made from what its inputs hold now."""
    found = asked(graph, store)
    names = {one.part for one in found}
    current = current_parts(store, list(graph.nodes.values()), found)
    return bool(names) and all(names <= current[node.name] for node in graph.computed)


def _bind(
    path: Path,
    corpus: Corpus,
    experiments: Mapping[str, Experiment],
    outputs: Tables,
    changes: Changes,
    computed: "Callable[[], DuckDBPyConnection | None]",
) -> list[str]:
    unchecked, files = [], len(changes.new)
    with _assumed(corpus, outputs, changes) as connection:
        binding = _Binding(connection, _FEATURES | _ELSEWHERE | (_FACTS if files else set()))
        for name, experiment in experiments.items():
            try:
                if not binding.all_checked(experiment, name, computed):
                    unchecked.append(name)
            except UserError as error:
                what = _with_uris(connection, error.what) if files else error.what
                raise UserError(what, f"{path}: {error.where}", error.hint) from error
    return unchecked


class _Binding:
    """Predicates on a connection of which some columns are null for want of values."""

    def __init__(self, connection: "DuckDBPyConnection", unknown: set[str]):
        self._connection, self._unknown = connection, unknown

    def all_checked(
        self,
        experiment: Experiment,
        name: str,
        computed: "Callable[[], DuckDBPyConnection | None]",
    ) -> bool:
        """Whether all of an experiment could be checked; UserError for what is wrong with it."""
        if self._open(experiment) or experiment.preset:  # else all of it is read below
            self._check_sql(experiment, name, _SIDES)
        if self._open(experiment) and not experiment.reads_variants and (real := computed()):
            with real:
                return _Binding(real, set()).all_checked(experiment, name, lambda: None)
        if experiment.preset in _BY_ROWS and "train" in self._open(experiment):
            return False
        checked = True
        for plain_name, plain in expand(self._connection, experiment, name).items():
            for one in _distinct(plain.expand()):
                checked = self._plain(one, plain_name) and checked
        return checked

    def _plain(self, experiment: Experiment, name: str) -> bool:
        unknown = self._open(experiment)
        if not unknown:
            select(self._connection, experiment, name)
            return True
        self._check_sql(experiment, name, unknown)
        known = {s for s in _SIDES if getattr(experiment, s)} - {"reals", *unknown}
        if "reals" in unknown:
            known -= {"test"}
        read_sides(self._connection, experiment, name, known)
        return False

    def _open(self, experiment: Experiment) -> list[str]:
        """The sides whose predicates name what is not known yet."""
        return [
            side
            for side in _SIDES
            if any(_words(one) & self._unknown for one in experiment.predicates(side))
        ]

    def _check_sql(self, experiment: Experiment, name: str, sides: Iterable[str]) -> None:
        for side in sides:
            for predicate in experiment.predicates(side):
                rows_of = experiment_rows(experiment, made(self._connection))
                sql = f"{rows_of}select count(*) from experiment_rows where ({predicate}\n)"
                query(self._connection, sql, f"experiments.{name}.{side}: {predicate}", ADVICE)


def _words(predicate: str) -> set[str]:
    """The words of a predicate, but for those in its texts."""
    return set(re.findall(r"\w+", re.sub(r"'(?:[^']|'')*'", "", predicate).lower()))


def _distinct(runs: Iterable[Experiment]) -> list[Experiment]:
    """One of those that select the same rows: seeds and heads change nothing here."""
    return list({str([getattr(one, key) for key in _DECISIVE]): one for one in runs}.values())


def _assumed(corpus: Corpus, outputs: Tables, changes: Changes) -> "DuckDBPyConnection":
    """A confined connection with the store's views, on which every listed image has features.

    They are null, like all that is not known of new files. The ids of these are made up.
    """
    connection = views.connect(outputs)
    if changes:
        connection.register("item_files", _of_paths(corpus, changes.new))
        connection.register("item_gone", pa.table({"uri": changes.uris}))
        connection.execute(
            "create or replace view listing as from store.listing "
            "where uri not in (select uri from item_gone) "
            "union all by name select *, md5(uri) as image_id from item_files"
        )
    parts = []
    asked_for = [(split, name) for name, some in corpus.splits_of.items() for split in some]
    for split, variant in [(ALL, CLEAN), *asked_for]:
        where = "" if split == ALL else f" and split = {literal(split)}"
        suffix = literal(variant_id("", variant))
        parts.append(
            f"select distinct image_id || {suffix} as image_id, image_id as content_id, "
            f"{literal(variant)} as variant from listing where image_id is not null{where}"
        )
    connection.execute(f"create table item_images as {' union '.join(parts)}")
    undecided = views.undecided(connection)  # of which there is no view: training says so as well
    known = {table: table for table in ("images", *COMPUTED)}
    known |= {node: table for node, (table, _) in outputs.items() if table == "image_embeddings"}
    known |= {table: table for table, _ in outputs.values() if table not in OWN}
    for view, table in known.items():
        if view not in undecided:
            own = [name for name in TABLES[table] if name in ("image_id", "variant")]
            own += ["content_id"] if table == "images" else []
            place = OF_OBJECTS if table == "object_embeddings" else identifier(view)
            connection.execute(
                f"create or replace view {place} as {no_rows(table)} "
                f"union all by name select {', '.join(own)} from item_images"
            )
    return connection


def _of_paths(corpus: Corpus, files: pa.Table) -> pa.Table:
    """What the listing will say of files, as far as it follows from their paths."""
    rows, unlabelled = [], Labels(dataset=corpus.dataset)
    said = corpus.reading.read(files["path"].to_pylist())
    for uri, one in zip(files["uri"].to_pylist(), said, strict=True):
        found = one if isinstance(one, Labels) else unlabelled
        rows.append((uri, *(getattr(found, name) for name in OF_PATHS[1:])))
    types = [TABLES["listing"][name] for name in OF_PATHS]
    columns = zip(*rows, strict=True) if rows else ([] for _ in types)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=list(OF_PATHS))


def _with_uris(connection: "DuckDBPyConnection", text: str) -> str:
    """A message with the files in place of ids, which are made up and tell nobody anything."""

    def uri(found: re.Match[str]) -> str:
        sql = "select min(uri) from listing where image_id = $id"
        ((name,),) = connection.execute(sql, {"id": found[0]}).fetchall()
        return name or found[0]

    return re.sub(r"\b[0-9a-f]{32}\b", uri, text)
