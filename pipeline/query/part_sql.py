"""The SQL that reads the files of a store: parts, their receipts, failures, and trained runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

from pipeline.store import run_folders


@dataclass(frozen=True)
class Identity:
    """The DAG that is asked about: its name, and the fingerprint of each of its nodes."""

    dag: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Growing:
    """The files that a glob finds when a query reads them, for a catalogue that lies on disk.

    `first` is one that it finds now.
    """

    pattern: str
    first: Path


Parts = list[Path] | Growing
Tables = Mapping[str, tuple[str, Parts]]

ASKED = "asked_images"  # in the schema `store`: the ids that rows of some parts must have to count
_KEYS = {"listing": "uri", "text_embeddings": "text_id"}  # every other table: image_id
_SQL_TYPES = {
    "string": "varchar",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "float",
    "double": "double",
    "bool": "boolean",
}
# receipts' columns that are read from a part's metadata, with their SQL types
_RECEIPT = {
    "part": "varchar",
    "rows_in": "bigint",
    "rows_ok": "bigint",
    "rows_failed": "bigint",
    "seconds_read": "double",
    "seconds_infer": "double",
    "seconds_write": "double",
    "started": "timestamp",  # UTC; models were loaded by then
    "finished": "timestamp",  # UTC
    "host": "varchar",
    "device": "varchar",  # that models ran on; empty without models
    "precision": "varchar",
    "libraries": "varchar",  # as pipeline.store.provenance names them
}
# the files of a run's folder: relation -> (file, the columns that it always has)
RUN_FILES = {
    "runs": (
        run_folders.METRICS,
        {
            "experiment": "varchar",
            "run_id": "varchar",
            "saved": "timestamp",  # UTC
            "method": "varchar",
            "variant": "varchar",  # of the tested images
            "scope": "varchar",  # 'generator', or 'mean' over the unseen; null: of one generator
            "generator": "varchar",
            "seen": "boolean",
            **dict.fromkeys(("ap", "chance", "prevalence", "auroc", "fpr95"), "double"),
            **dict.fromkeys(("auroc_low", "auroc_high"), "double"),
            **dict.fromkeys(("accuracy", "tnr", "tpr"), "double"),
            **dict.fromkeys(("balanced_accuracy", "nll", "ece"), "double"),
            # chosen on validation images, and what came of it
            **dict.fromkeys(("validation_ap", "threshold", "temperature"), "double"),
            **dict.fromkeys(("unsure_low", "unsure_high"), "double"),
            **dict.fromkeys(("accuracy_at_threshold", "balanced_accuracy_at_threshold"), "double"),
            **dict.fromkeys(("tnr_at_threshold", "tpr_at_threshold"), "double"),
            **dict.fromkeys(("nll_scaled", "ece_scaled"), "double"),
            **dict.fromkeys(("share_unsure", "accuracy_sure"), "double"),
            **dict.fromkeys(("ap_less_clean", "accuracy_less_clean"), "double"),
            "n": "bigint",
            "seed": "bigint",
            "allow_overlap": "boolean",
            "train": "varchar",
            "train_variant": "varchar",
            "configuration": "varchar",
            "dag": "varchar",  # by whose name it was trained
            "made_from": "varchar[]",  # fingerprints of that DAG's nodes but the listing
        },
    ),
    "differences": (
        run_folders.DIFFERENCES,
        {
            **dict.fromkeys(("experiment", "run_id", "method", "compare_to"), "varchar"),
            **dict.fromkeys(("variant", "scope", "generator"), "varchar"),
            "generators": "bigint",
            "seen": "boolean",
            "metric": "varchar",
            **dict.fromkeys(("difference", "low", "high", "p"), "double"),
        },
    ),
    "curves": (
        run_folders.CURVES,
        {
            "experiment": "varchar",
            "run_id": "varchar",
            "method": "varchar",
            "epoch": "bigint",
            **dict.fromkeys(("learning_rate", "train_loss"), "double"),
            **dict.fromkeys(("validation_loss", "validation_ap"), "double"),
            "best": "boolean",
        },
    ),
    "predictions": (
        run_folders.PREDICTIONS,
        {
            "experiment": "varchar",
            "run_id": "varchar",
            "method": "varchar",
            "image_id": "varchar",
            "variant": "varchar",
            "generator": "varchar",
            "split": "varchar",
            "label": "tinyint",
            "probability": "double",
        },
    ),
}


@dataclass(frozen=True)
class Counted:
    """Which rows of a node's parts count: `where`, as SQL, unless it is None; of `whole` parts all.

    `whole` holds the parts' names.
    """

    where: str | None = None
    whole: Collection[str] = ()

    def split(self, parts: Parts) -> list[tuple[Parts, str | None]]:
        """The parts of which all rows count, then those with a condition; none of an empty kind."""
        if self.where is None or isinstance(parts, Growing):
            return [(parts, self.where)]
        whole, others = [], []
        for part in parts:
            (whole if part.name in self.whole else others).append(part)
        return [(some, where) for some, where in ((whole, None), (others, self.where)) if some]


ALL_ROWS = Counted()


def part_rows(parts: Parts, counted: Counted = ALL_ROWS) -> str:
    """A node's rows as they lie in its parts, without what each was made from."""
    from pipeline.tables import MADE_FROM

    # Without the option a folder called `a=b` would become a column.
    return " union all by name ".join(
        f"select columns(lambda c: c <> '{MADE_FROM}') "
        f"from read_parquet({file_list(some)}, hive_partitioning = false)"
        + (f" where {where}" if where else "")
        for some, where in counted.split(parts)
    )


def first_part(parts: Parts) -> Path:
    """One of the parts."""
    return parts.first if isinstance(parts, Growing) else parts[0]


def _number(parts: Parts) -> str:
    if isinstance(parts, Growing):
        return f"(select count(*) from glob({file_list(parts)}))::integer"
    return str(len(parts))


def no_rows(table: str) -> str:
    """An empty relation with the columns of a table."""
    from pipeline.tables import COLUMNS

    columns = []
    for name, kind in COLUMNS[table].items():
        sql_type = _SQL_TYPES.get(str(kind), "float[]")
        columns.append(f"null::{sql_type} as {identifier(name)}")
    return f"select {', '.join(columns)} where false"


def run_files(name: str, runs: Sequence[Path] | str) -> Parts:
    """The files of `runs` or `predictions` that are there."""
    if isinstance(runs, str):
        pattern = f"{runs}/{RUN_FILES[name][0]}"
        now = glob(pattern)  # noqa: PTH207 the pattern is absolute
        return Growing(pattern, Path(now[0])) if now else []
    return [path for folder in runs if (path := folder / RUN_FILES[name][0]).is_file()]


def run_rows(name: str, runs: Sequence[Path] | str) -> str:
    """All runs' rows of one file. Runs of other versions may have other columns: null elsewhere."""
    columns = ", ".join(f"null::{kind} as {column}" for column, kind in RUN_FILES[name][1].items())
    empty = f"select {columns} where false"
    found = run_files(name, runs)
    if not found:
        return empty
    files = file_list(found)
    # a row's run is where its file lies, whatever columns the file has
    place = ", ".join(
        f"parse_path(filename)[{-2 - up}] as {column}"
        for up, column in enumerate(("run_id", "experiment"))
    )
    others = "columns(lambda c: c not in ('experiment', 'run_id', 'saved', 'filename'))"
    source = (
        f"read_parquet({files}, union_by_name = true, filename = true, hive_partitioning = false)"
    )
    if name == "runs":
        place += ", make_timestamp(epoch_us(last_modified)) as saved"
        others = others.replace("'filename'", "'filename', 'last_modified'")
        source += f" join (select filename, last_modified from read_blob({files})) using (filename)"
    return f"{empty} union all by name select {place}, {others} from {source}"


def generated(
    tables: Tables,
    canonical: Collection[str | None],
    counted: Mapping[str, Counted],
    identity: Identity,
) -> dict[str, str]:
    """`nodes`, `parts`, `receipts` and `failures`: unions over all nodes, read when a query asks.

    `canonical`: the nodes that the tables' own views read. `counted`: which rows of a node count,
    if not all of its parts' do.
    """
    prints = {node: literal(text) for node, text in identity.fingerprints.items()}
    nodes = [
        f"({position}, {literal(node)}, {literal(table)}, {_number(parts)}, "
        f"{prints.get(node, 'null::varchar')})"
        for position, (node, (table, parts)) in enumerate(tables.items())
    ] or ["(null::integer, null::varchar, null::varchar, null::integer, null::varchar)"]
    files = [_no_parts()]
    receipts, failures = [], []
    for node, (table, parts) in tables.items():
        if parts:
            files.append(_files(node, table, parts, node in canonical))
            own = counted.get(node, ALL_ROWS).split(parts)
            receipts += [_receipts(node, table, some, where) for some, where in own]
        key = _KEYS.get(table, "image_id")
        number = "object_no" if table in ("objects", "regions", "object_embeddings") else "null"
        failures.append(
            f"select {literal(node)} as node, {literal(table)} as table_name, {key} as key, "
            f"{number}::integer as object_no, error from store.{identifier(node)} "
            "where error is not null"
        )
    return {
        "nodes": f"from (values {', '.join(nodes)}) as nodes"
        "(position, node, table_name, parts, fingerprint) "
        "where node is not null",
        "parts": " union all ".join(files),
        "receipts": _all_receipts(receipts),
        "failures": " union all ".join(failures)
        or "select null::varchar as node, null::varchar as table_name, null::varchar as key, "
        "null::integer as object_no, null::varchar as error where false",
    }


def _no_parts() -> str:
    return (
        "select null::varchar as node, null::varchar as table_name, null::boolean as canonical, "
        "null::varchar as part, null::varchar as path where false"
    )


def _files(node: str, table: str, parts: Parts, canonical: bool) -> str:
    """A row a file: a part's name is the same in every node's folder, but in the listing's."""
    files = f"select unnest({file_list(parts)}) as file"
    if isinstance(parts, Growing):
        files = f"select file from glob({file_list(parts)})"
    return (
        f"select {literal(node)} as node, {literal(table)} as table_name, "
        f"{str(canonical).lower()} as canonical, parse_filename(file) as part, file as path "
        f"from ({files})"
    )


def _all_receipts(each: list[str]) -> str:
    """Receipts by their columns, of what `_receipts` gives of each node."""
    said = {
        name: f"try_cast(said[list_position(about, 'item.{name}')] as {kind})"
        for name, kind in {"stage": "varchar", **_RECEIPT}.items()
    }
    now = {"in": "now", "ok": "now - failed_now", "failed": "failed_now"}
    said |= {
        f"rows_{name}": f"coalesce({sql}, {said[f'rows_{name}']})" for name, sql in now.items()
    }
    columns = ", ".join(f"{sql} as {name}" for name, sql in said.items())
    none = (
        "select null::varchar as node, null::struct(about varchar, said varchar)[] as footer, "
        "null::bigint as now, null::bigint as failed_now, null::bigint as bytes where false"
    )
    lists = ", ".join(
        f"list_transform(footer, lambda one: one.{name}) as {name}" for name in ("about", "said")
    )
    return (
        f"select node, {columns}, bytes "
        f"from (select *, {lists} from ({' union all '.join([none, *each])}))"
    )


def _receipts(node: str, table: str, parts: Parts, where: str | None) -> str:
    """A row a part, with what its footer says. The node's name is the DAG's: the part may come from
    a run of another DAG.

    With `where` the rows that count are counted, `now`; else its footer says how many there are.
    """
    files = file_list(parts)
    counts, beside = "null::bigint as now, null::bigint as failed_now", ""
    if where:
        key = _KEYS.get(table, "image_id")
        failed = f"count(distinct {key}) filter (where error is not null)"
        counts = "coalesce(counts.now, 0) as now, coalesce(counts.failed, 0) as failed_now"
        beside = (
            f"left join (select filename as file_name, count(distinct {key}) as now, "
            f"{failed} as failed from read_parquet({files}, filename = true, "
            f"hive_partitioning = false) where {where} group by filename) as counts "
            "using (file_name)"
        )
    return (
        f"select {literal(node)} as node, footer, {counts}, "
        "sizes.file_size_bytes::bigint as bytes "
        "from (select file_name, list({'about': decode(key), 'said': decode(value)}) as footer "
        f"from parquet_kv_metadata({files}) group by file_name) "
        f"as metadata join parquet_file_metadata({files}) as sizes using (file_name) {beside}"
    )


def file_list(parts: Parts) -> str:
    """The files, as the argument of a DuckDB reader."""
    if isinstance(parts, Growing):
        return literal(parts.pattern)
    return f"[{', '.join(literal(str(part.absolute())) for part in parts)}]"


def literal(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def identifier(value: str) -> str:
    """A name in SQL."""
    return '"' + value.replace('"', '""') + '"'
