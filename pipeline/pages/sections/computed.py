"""What was computed, by which models and versions, how fast, and what failed."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.dag import bundled
from pipeline.pages.blocks import Block, Facts, Heading, Rows, Words
from pipeline.pages.table import ABSENT, table_of, text_of
from pipeline.query.questions import ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag, Node

CAUSES = 50  # of failures, the most frequent first


def computed(
    connection: "DuckDBPyConnection", dag: "Dag", known: Mapping[str, Any] | None = None
) -> list[Block]:
    """The corpus, the nodes with their rows, rates and failures, and who made them.

    `known`: what `counts` gave, if it was asked already.
    """
    corpus = _corpus(connection, dag, known or counts(connection))
    told = bundled.note(dag.nodes.values(), [dag.corpus.root])
    blocks: list[Block] = [Words(f"{told[0].upper()}{told[1:]}.", "warning")] if told else []
    blocks += [Facts(corpus), Rows(_nodes(connection))]
    blocks.append(
        Words(
            "rows in = ok + failed, at every node. Seconds are those of the workers, added up; "
            "rows a second are of one worker.",
            "quiet",
        )
    )
    return [*blocks, *_made_by(connection, dag)]


def failures(connection: "DuckDBPyConnection") -> list[Block]:
    """Why rows failed, the most frequent cause first."""
    causes = ask(connection, "failure_causes")
    if not causes.num_rows:
        return [Words("Nothing failed.")]
    about = "why rows failed, in the first node that could not go on"
    if causes.num_rows > CAUSES:
        about += f": the {CAUSES} most frequent of {causes.num_rows:,} causes"
    columns = {"node": "node", "failures": "failures", "error": "why", "example": "for example"}
    return [
        Rows(table_of(causes.slice(0, CAUSES), about, columns)),
        Words("All of them: `item query DAG failed_rows`.", "quiet"),
    ]


def counts(connection: "DuckDBPyConnection") -> dict[str, Any]:
    """How many files and distinct images there are, by label, and of how many generators."""
    sql = """
        select
            count(*) as files,
            count(distinct image_id) as images,
            count(distinct image_id) filter (where label = 0) as reals,
            count(distinct image_id) filter (where label = 1) as fakes,
            count(distinct image_id) filter (where label is null) as unlabelled,
            count(distinct generator) filter (where label = 1) as generators
        from listing
    """
    return connection.sql(sql).to_arrow_table().to_pylist()[0]


def _corpus(
    connection: "DuckDBPyConnection", dag: "Dag", found: Mapping[str, Any]
) -> list[tuple[str, str]]:
    labels = [f"{found['reals']:,} real", f"{found['fakes']:,} fake"]
    if found["unlabelled"]:
        labels.append(f"{found['unlabelled']:,} without a label")
    limit = f"; a sample of {dag.corpus.limit:,} files" if dag.corpus.limit else ""
    pairs = [
        ("corpus", f"{dag.corpus.root}{limit}"),
        ("layout", str(dag.corpus.layout)),
        ("files", f"{found['files']:,}, of {found['images']:,} distinct contents"),
        ("images", ", ".join(labels)),
        ("generators", f"{found['generators']:,} with fakes"),
    ]
    sql = "select variant, count(*) from images where variant <> 'clean' group by 1 order by 1"
    if variants := connection.sql(sql).fetchall():
        said = ", ".join(f"{name} ({many:,})" for name, many in variants)
        pairs.append(("in variants", said))
    return [*pairs, ("DAG", str(dag.path))]


def _nodes(connection: "DuckDBPyConnection") -> Any:
    rates = {row["node"]: row for row in ask(connection, "throughput").to_pylist()}
    rows = []
    for row in ask(connection, "coverage").to_pylist():
        rate = rates.get(row["node"], {})
        expected = row["parts_expected"] or row["parts"]
        rows.append(
            {
                "node": row["node"],
                "stage": rate.get("stage"),
                "parts": f"{row['parts']}/{expected}",
                "rows in": int(row["rows_in"]),
                "ok": int(row["rows_ok"]),
                "failed": int(row["rows_failed"]),
                "seconds": rate.get("seconds"),
                "rows/s": rate.get("rows_per_second"),
                "MB": rate.get("megabytes"),
            }
        )
    tenth = {"seconds": _tenth, "rows/s": _tenth, "MB": _tenth}
    return table_of(pa.Table.from_pylist(rows), "the nodes of the DAG, in its order", shown=tenth)


def _tenth(value: float | None) -> str:
    return text_of(None) if value is None else f"{value:,.1f}"


def _made_by(connection: "DuckDBPyConnection", dag: "Dag") -> list[Block]:
    """By which models and parameters, and by which libraries: nodes of the same ones together."""
    models = [
        {
            "node": node.name,
            "fingerprint": node.fingerprint,
            "model": _model(node),
            "identity": _identity(node.recipe),
        }
        for node in dag.nodes.values()
        if node.recipe.get("models")
    ]
    made = ask(connection, "provenance").to_pylist()
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in made:
        key = (row["libraries"] or "not known", row["device"], row["precision"])
        groups.setdefault(key, []).append(row)
    by = [
        {
            "nodes": ", ".join(row["node"] for row in rows),
            "device": device,
            "precision": precision,
            "hosts": max(row["hosts"] for row in rows),
            "from (UTC)": _moment(min, (row["first"] for row in rows)),
            "to (UTC)": _moment(max, (row["last"] for row in rows)),
            "libraries": libraries,
        }
        for (libraries, device, precision), rows in groups.items()
    ]
    blocks: list[Block] = [Heading("By which models and versions")]
    if models:
        blocks.append(Rows(table_of(pa.Table.from_pylist(models), "models, by what is in them")))
    if by:
        blocks.append(Rows(table_of(pa.Table.from_pylist(by), "libraries, device and precision")))
    if mixed := list(dict.fromkeys(row["node"] for row in made if row["mixed"])):
        text = f"Parts of one node were made by different versions: {', '.join(mixed)}."
        blocks.append(Words(text, "warning"))
    return blocks


def _moment(choose: Callable[..., datetime], moments: Iterable[datetime | None]) -> str | None:
    known = [one for one in moments if one is not None]
    return f"{choose(known):%Y-%m-%d %H:%M}" if known else None


def _model(node: "Node") -> str:
    """What the DAG file calls the node's model."""
    for place in (node.parameters, getattr(node.parameters, "clip", None)):
        if name := getattr(place, "model", None):
            return str(name)
    return ABSENT


def _identity(recipe: Mapping[str, Any]) -> str:
    """What decides a model's output, as the recipe has it: hashes by their first twelve digits."""
    return "; ".join(
        " ".join(f"{key} {str(value)[:12]}" for key, value in one.items())
        for one in recipe["models"]
    )
