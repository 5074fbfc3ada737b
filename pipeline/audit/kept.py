"""The audit that goes with every run: what looks at no embedding, kept for as long as it is true.

The answer is left in the store beside the listing, and read back until a part of any node changes,
so that a run with nothing to do waits for no classifier to be fitted.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pipeline.audit.finding import Finding
from pipeline.store.run_folders import METRICS
from pipeline.version import __version__

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store

_VERSION = 2  # raised when the same store would get other findings
_KEPT = "audit"  # the answer's name


def at_hand(
    dag: "Dag", store: "Store", connect: Callable[[], "DuckDBPyConnection"]
) -> list[Finding]:
    """The findings without near-duplicates, as they were left if nothing has changed since.

    `connect` opens the store for SQL, where that is needed.
    """
    node, of = dag.nodes["listing"], state(dag, store)
    known = store.recall(node).get(_KEPT, {})
    if known.get("of") == of:
        return [_read(one) for one in known["findings"]]
    from pipeline.audit.audit import audit

    with connect() as connection:
        found = audit(connection, dag, near=False)
    answer = {"of": of, "findings": [one.plain() for one in found]}
    store.remember(node, {**store.recall(node), _KEPT: answer})
    return found


def _read(plain: Mapping[str, Any]) -> Finding:
    return Finding(**{**plain, "details": tuple(plain["details"])})


def state(dag: "Dag", store: "Store", runs: bool = False) -> str:
    """A hash of what the findings follow from: the files of every node.

    With `runs` of what a report follows from: the experiments and the trained runs as well.
    """
    said = [f"{_VERSION} {name} {node.fingerprint}" for name, node in dag.nodes.items()]
    files = [(name, path) for name, node in dag.nodes.items() for path in store.parts(node)]
    if runs:
        said += [__version__, *(f"{name} {one!r}" for name, one in dag.experiments.items())]
        files += [(str(path), path / METRICS) for path in store.runs()]
    for name, path in files:
        about = path.stat()
        said.append(f"{name} {path.name} {about.st_size} {about.st_mtime_ns}")
    return sha256("\n".join(said).encode()).hexdigest()
