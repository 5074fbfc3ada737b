"""ITEM: an offline, feature-caching pipeline for hierarchical image-text misalignment."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.version import __version__

if TYPE_CHECKING:
    import duckdb

    from pipeline.predict.detector import Detector

__all__ = ["Detector", "__version__", "open_store"]


def __getattr__(name: str) -> Any:
    if name == "Detector":  # here, so that `import pipeline` stays light
        from pipeline.predict.detector import Detector

        return Detector
    raise AttributeError(f"module 'pipeline' has no attribute '{name}'")


def open_store(
    dag: str,
    store: Path | str = "store",
    overrides: Sequence[str] | None = None,
    unsafe: bool = False,
) -> "duckdb.DuckDBPyConnection":
    """The connection that `item query` asks, for Python: every view of the DAG, and of the runs.

    `dag`: a path or a shipped name. `store`: the folder of the cache. `overrides`: as `--set`, e.g.
    `["captions.num_beams=1"]`. Answers leave it as Arrow (`.sql(…).to_arrow_table()`), pandas
    (`.df()`) or polars (`.pl()`). It sees the parts that are there when it is opened, cannot write
    them, and can open no other file; with `unsafe` it can do all that DuckDB can: join data frames
    of yours, attach, read and write files, those of the store included. Raises UserError for a DAG
    that is wrong and a store that has nothing of it.
    """
    from pipeline.dag.graph import load
    from pipeline.query.open_store import connect  # here, so that `import pipeline` stays light
    from pipeline.store.parts import Store

    return connect(load(str(dag), list(overrides or [])), Store(store), unsafe=unsafe)
