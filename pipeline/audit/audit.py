"""Every check of a corpus: what a head may have learned instead of what it is to learn."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.audit.balance import balance, failures
from pipeline.audit.copies import copies
from pipeline.audit.crop import crop, views
from pipeline.audit.finding import Finding
from pipeline.audit.near_duplicates.checks import COSINE, near_duplicates
from pipeline.audit.predictable import predictable
from pipeline.audit.rows import groups

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag


def audit(
    connection: "DuckDBPyConnection",
    dag: "Dag",
    near: bool = True,
    cosine: float = COSINE,
    say: Callable[[str], None] = lambda line: None,
    keep: Callable[["pa.Table"], None] = lambda pairs: None,
) -> list[Finding]:
    """The findings, in the order in which a reader wants them.

    `connection`: one of `pipeline.query.open_store.connect`. `near`: look for near-duplicates too,
    of embeddings that have at least this cosine; `keep` gets the pairs of two splits, generators or
    labels. `say` gets progress lines.
    """
    asked = groups(connection)
    found = [balance(connection), *predictable(connection, asked)]
    found.append(crop(asked, views(dag)))
    found += [failures(connection), *copies(connection)]
    if near:
        found += near_duplicates(connection, dag.experiments, cosine, say, keep)
    return found
