"""ITEM: an offline, feature-caching pipeline for hierarchical image-text misalignment.

    import pipeline as item

What a command does, for Python. Everywhere `dag` is a `Dag`, a path or a shipped name, and `store`
the folder of the cache. Errors that a user can mend are `UserError`. Importing this is light:
torch, duckdb and the rest are imported by what needs them.
"""

import sys
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.version import __version__

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

    from pipeline.corpus.decode import decode
    from pipeline.corpus.layouts.labels import Labels, Layout, Misfit
    from pipeline.dag.elsewhere import Recipes
    from pipeline.dag.graph import Dag
    from pipeline.plan.plan import Step
    from pipeline.plugins.kinds import Baseline, Captioner, Feature
    from pipeline.predict.detector import Detector
    from pipeline.spec import Parameters, Stage
    from pipeline.store.totals import NodeTotal
    from pipeline.tables import build as table
    from pipeline.tables import matrix, vectors

__all__ = [
    "Baseline",
    "Captioner",
    "Dag",
    "Detector",
    "Feature",
    "Labels",
    "Layout",
    "Misfit",
    "Parameters",
    "Stage",
    "UserError",
    "__version__",
    "decode",
    "features",
    "matrix",
    "open_store",
    "plan",
    "query",
    "run",
    "table",
    "train",
    "vectors",
]


def open_store(
    dag: "Dag | str",
    store: Path | str = "store",
    overrides: Sequence[str] | None = None,
    unsafe: bool = False,
) -> "duckdb.DuckDBPyConnection":
    """The connection that `item query` asks, for Python: every view of the DAG, and of the runs.

    `overrides`: as `--set`, e.g. `["captions.num_beams=1"]`. Answers leave it as Arrow
    (`.sql(…).to_arrow_table()`), pandas (`.df()`) or polars (`.pl()`). It sees the parts that are
    there when it is opened, cannot write them, and can open no other file; with `unsafe` it can do
    all that DuckDB can: join data frames of yours, attach, read and write files, those of the store
    included. Raises UserError for a DAG that is wrong and a store that has nothing of it.
    """
    from pipeline.query.open_store import connect
    from pipeline.store.parts import Store

    return connect(_asked(dag, store, overrides), Store(store), unsafe=unsafe)


def plan(dag: "Dag | str", store: Path | str = "store", workers: int = 1) -> "list[Step]":
    """What `run` would compute, a step a node: images, why, and seconds with so many workers.

    Reads the names of the corpus's files, and no image. `seconds` and `bytes` are None where
    nothing was measured yet. Raises UserError for a corpus that cannot be read as the DAG says.
    """
    from pipeline.plan.plan import plan as planned
    from pipeline.store.parts import Store

    return planned(_loaded(dag), Store(store), workers)


def run(
    dag: "Dag | str",
    store: Path | str = "store",
    until: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    inline: bool = False,
) -> "list[NodeTotal]":
    """Computes what is missing, to the node `until` or all of it; returns each node's totals.

    Experiments are left to `train`. `workers`: processes here (None: as the DAG says); `scheduler`:
    the address of a running Dask cluster; `inline`: in this process, and no other. Where processes
    are begun, the caller is a module of its own (`if __name__ == "__main__":`). Progress goes to
    stderr. Rows that failed are counted in the totals (`rows_failed`), and no error. Raises
    UserError for what the user can mend; KeyboardInterrupt passes through, and what was committed
    stays.
    """
    from pipeline.engine.progress import Reporter
    from pipeline.engine.run import Options
    from pipeline.engine.run import run as computed
    from pipeline.store.parts import Store
    from pipeline.store.upkeep import lost_lock

    graph, cache = _loaded(dag), Store(store)
    nodes = graph.upstream(until) if until else list(graph.nodes.values())
    lost_lock.check(graph, cache)
    with Reporter() as reporter:
        options = Options(inline=inline, workers=workers, scheduler=scheduler)
        return computed(graph, cache, nodes, options, reporter)


def query(
    name: str,
    dag: "Dag | str | None" = None,
    store: Path | str = "store",
    **parameters: str | int | float | None,
) -> "pa.Table":
    """The answer of a named query, of one SQL `select`, or a view's rows, as an Arrow table.

    `dag`: None is the only DAG file in the current folder. `parameters` are the query's own
    (`item query --list`): `query("misaligned_objects", "demo", generator="flow", share=0.1)`.
    Raises UserError for a name or a parameter that is not there, and with DuckDB's own message for
    wrong SQL.
    """
    from pipeline.cli.options import chosen_dag
    from pipeline.query.questions import execute, resolve

    graph = _asked(chosen_dag(None) if dag is None else dag, store)
    sql, connection = resolve(name, graph.nodes), open_store(graph, store)
    texts = {key: "null" if value is None else str(value) for key, value in parameters.items()}
    return execute(connection, sql, [f"{key}={value}" for key, value in texts.items()])


def features(
    dag: "Dag | str",
    where: str = "true",
    features: Sequence[str] = ("global", "local"),
    variant: str = "clean",
    store: Path | str = "store",
) -> "tuple[np.ndarray, np.ndarray, pa.Table]":
    """Cached vectors for a classifier of your own: `(X, y, rows)`, a row an image and generator.

    `where`: SQL over the columns of an experiment's predicates, such as
    `"generator = 'gan' and split = 'train'"`. `X`: float32 [n, width], the `features` side by side
    in the given order: `global` and `local` are the differences D, as wide as CLIP's space each,
    `image` and `text` embeddings of image and caption, `scalars` cosines and distances, and what
    plugins offer. `y`: int8 [n], 0 real, 1 fake. `rows`: n rows of image_id, variant, label,
    generator and split. Images that failed, or have no label, are left out. Raises UserError for a
    wrong predicate, one that selects nothing, and images that are not computed yet.
    """
    import numpy as np

    from pipeline.dag.experiment import Experiment
    from pipeline.head.rows.selection import read_sides
    from pipeline.head.vectors.matrices import matrices
    from pipeline.query.open_store import connect
    from pipeline.store.parts import Store

    asked = Experiment(
        train=where,
        test=where,
        features=tuple(features),
        variant=variant,
        baselines=(),
        compare_to=(),
    )
    connection = connect(_asked(dag, store), Store(store), runs=False)
    rows = read_sides(connection, asked, "features", wanted=("test",))["test"]
    found = matrices(connection, rows.table["image_id"], asked)
    return np.hstack([found[name] for name in features]), rows.label, rows.table


def train(
    dag: "Dag | str",
    experiment: str | None = None,
    store: Path | str = "store",
    memory: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Trains and tests an experiment of the DAG, or all, on cached features; opens no image.

    Returns rows by table: `runs` (with the folder that each was saved in), `metrics`, `means` and
    `differences`. `memory`: bytes that vectors may take (None: half of what there is); more are
    streamed. Progress goes to stderr. Raises UserError for an experiment that is not there, and for
    what `item train` refuses.
    """
    from pipeline.cli.experiments import run_experiments
    from pipeline.errors import nearest
    from pipeline.store.parts import Store

    graph = _asked(dag, store)
    if experiment is not None and experiment not in graph.experiments:
        hint = nearest(experiment, graph.experiments)
        raise UserError(f"there is no experiment '{experiment}'", str(graph.path), hint)
    names = list(graph.experiments) if experiment is None else [experiment]
    return run_experiments(graph, Store(store), names, memory, again=True, quiet=True)


def _asked(dag: "Dag | str", store: Path | str, overrides: Sequence[str] | None = None) -> "Dag":
    """The DAG, to ask a store: models that are not on this machine are those that it has."""
    from pipeline.store.parts import Store

    graph = _loaded(dag, overrides, Store(store).recipes)
    if graph.absent:
        getLogger(__name__).warning("%s", graph.absence)
    return graph


def _loaded(
    dag: "Dag | str",
    overrides: Sequence[str] | None = None,
    recipes: "Recipes | None" = None,
) -> "Dag":
    from pipeline.dag.graph import Dag, load

    if not isinstance(dag, Dag):
        return load(str(dag), list(overrides or []), recipes)
    if overrides:
        hint = "give them to Dag.load"
        raise UserError("a loaded DAG takes no overrides any more", str(dag.path), hint)
    return dag


# the names that are imported when they are asked for -> where they are, and what they are called
_LAZY = {
    "Dag": ("pipeline.dag.graph", "Dag"),
    "Detector": ("pipeline.predict.detector", "Detector"),
    # for plugins: what they declare, and what a stage works with
    "Stage": ("pipeline.spec", "Stage"),
    "Parameters": ("pipeline.spec", "Parameters"),
    "Captioner": ("pipeline.plugins.kinds", "Captioner"),
    "Layout": ("pipeline.corpus.layouts.labels", "Layout"),
    "Labels": ("pipeline.corpus.layouts.labels", "Labels"),
    "Misfit": ("pipeline.corpus.layouts.labels", "Misfit"),
    "Feature": ("pipeline.plugins.kinds", "Feature"),
    "Baseline": ("pipeline.plugins.kinds", "Baseline"),
    "decode": ("pipeline.corpus.decode", "decode"),
    "table": ("pipeline.tables", "build"),
    "vectors": ("pipeline.tables", "vectors"),
    "matrix": ("pipeline.tables", "matrix"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, called = _LAZY[name]
    return getattr(import_module(module), called)


class _Facade(ModuleType):
    """This package, of which `plan` and `query` are functions.

    Two rooms have these names, and importing one would put it in the function's place.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in ("plan", "query") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Facade
