"""Arguments and options that several commands of `item` share."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import UserError
from pipeline.shipped import folder

_SECTIONS = ("corpus", "nodes")  # every DAG file has them, and hardly any other YAML
_KEYS = [re.compile(rf"^['\"]?{name}['\"]?\s*:", re.M) for name in _SECTIONS]


def complete_dag(ctx: typer.Context, incomplete: str) -> list[str]:
    """The DAG files of the current folder, and the shipped names, that begin so.

    Where a command's DAG may be left out, what would come after it as well.
    """
    here = dags_here()
    after = _AFTER_DAG.get(ctx.info_name or "") if here else None
    return [*_begin([*here, *shipped()], incomplete), *(after(ctx, incomplete) if after else [])]


def complete_query(ctx: typer.Context, incomplete: str) -> list[str]:
    """The named queries that begin so."""
    return _begin(sorted(p.stem for p in (folder("sql") / "queries").glob("*.sql")), incomplete)


def complete_node(ctx: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the command's DAG that begin so."""
    return _begin([*_IMPLICIT, *_keys(ctx, "nodes")], incomplete)


def complete_experiment(ctx: typer.Context, incomplete: str) -> list[str]:
    """The experiments of the command's DAG that begin so."""
    return _begin(_keys(ctx, "experiments"), incomplete)


_IMPLICIT = ("listing", "images")
_AFTER_DAG = {
    "query": complete_query,
    **dict.fromkeys(("train", "predict", "export"), complete_experiment),
}


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _keys(ctx: typer.Context, section: str) -> list[str]:
    """The names in a section of a DAG file, as far as it can be read: shells wait for this."""
    import yaml

    # before an option that lacks its value yet, words are not told apart
    given = ctx.params.get("dag") or next(iter(ctx.args), None)
    dags = [given] if given else dags_here()
    if len(dags) != 1:
        return []
    name = dags[0]
    try:
        path = folder("dags") / f"{name}.yaml" if name in shipped() else Path(name).expanduser()
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError, yaml.YAMLError):  # RuntimeError: ~name, no user's
        return []
    found = raw.get(section) if isinstance(raw, dict) else None
    return list(map(str, found)) if isinstance(found, dict) else []


DagArgument = Annotated[
    str | None,
    typer.Argument(
        help="Path of a DAG file, or a shipped name: demo. Default: the DAG file of this folder.",
        autocompletion=complete_dag,
        show_default=False,
    ),
]
StoreOption = Annotated[
    Path, typer.Option("--store", help="Folder of the Parquet cache, and of runs and reports.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. captions.num_beams=1."),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="NODE",
        help="Stop after this node; no experiments.",
        autocompletion=complete_node,
    ),
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        metavar="NODE",
        help="This node alone, on what is cached.",
        autocompletion=complete_node,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Worker processes here, those of GPUs included (default: one for each GPU and "
        "half of the cores, or one for each core).",
    ),
]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="A running Dask scheduler.")
]
InlineOption = Annotated[bool, typer.Option(help="In this process, for debugging.")]
ReportOption = Annotated[
    bool, typer.Option("--report/--no-report", help="Write STORE/reports/DAG.html at the end.")
]
RunArgument = Annotated[
    str | None,
    typer.Argument(
        help="A run's id, its experiment's name (the newest run of this DAG), or the beginning "
        "of either.",
        autocompletion=complete_experiment,
        show_default=False,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="table|csv|json|md|parquet",
        help="Of the answer (default: by the suffix of --out; a table).",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Only N files, evenly spread (corpus.limit). What is computed of them is the whole "
        "corpus's as well.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="For machines: one object, the same of every command, with item, command, dag, "
        "store, exit, tables (name: rows), facts and error.",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What vectors may take in memory when heads are trained, such as 2GB (default: half "
        "of the machine's, or of the container's limit). What does not fit is streamed from disk.",
    ),
]


def _some_hours(hours: float | None) -> float | None:
    if hours is not None and not hours > 0:
        raise typer.BadParameter(f"in {hours:g} hours no part is begun: give more, such as 0.5")
    return hours


MaxHoursOption = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        callback=_some_hours,
        metavar="H",
        help="Begin no new part after H hours; finish those in flight, say how to go on, exit 0.",
    ),
]
StallOption = Annotated[
    str,
    typer.Option(
        "--stall",
        metavar="TIME",
        help="A part without a sign of life for so long (30s, 10m, 2h; off) hangs; so does one "
        "that takes 10 times as long as others of its node, and half of TIME, silent for a fifth "
        "of it. It is reported, its worker restarted, the part tried on another, then in child "
        "processes that find the image at fault.",
    ),
]
DEFAULT_STORE = Path("store")


def limited(overrides: list[str] | None, limit: int | None) -> list[str]:
    """The overrides of a command, with its --limit as one of them."""
    return [*(overrides or []), *([f"corpus.limit={limit}"] if limit else [])]


def shipped() -> list[str]:
    """The names of the shipped DAGs."""
    return sorted(path.stem for path in folder("dags").glob("*.yaml"))


def dags_here() -> list[str]:
    """The DAG files of the current folder, by name. Other YAML is none."""
    files = [path for path in sorted(Path().glob("*.y*ml")) if path.suffix in (".yaml", ".yml")]
    return [path.name for path in files if path.is_file() and _is_dag(path)]


def is_dag(word: str) -> bool:
    """Whether a word on the command line names a DAG: a path, or a shipped name."""
    path = "/" in word and not re.search(r"\s", word)  # and no SQL
    return word.endswith((".yaml", ".yml")) or path or word in shipped()


def chosen_dag(given: str | None) -> str:
    """The DAG that a command is about: the given one, or the only one in the current folder.

    UserError where there is none, or several.
    """
    if given is not None:
        return given
    found = dags_here()
    if not found:
        raise UserError(
            "no DAG is named, and there is no DAG file in this folder",
            str(Path.cwd()),
            "make one of your images with `item init FOLDER`, or name one: a path, or "
            f"{', '.join(shipped())}",
        )
    if len(found) > 1:
        raise UserError(
            f"no DAG is named, and there are {len(found)} in this folder",
            str(Path.cwd()),
            f"name one: {', '.join(found)}",
        )
    return found[0]


def _is_dag(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    if all(key.search(text) for key in _KEYS):
        return True
    if not all(name in text for name in _SECTIONS):
        return False
    import yaml

    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(raw, dict) and set(_SECTIONS) <= raw.keys()
