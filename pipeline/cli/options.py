"""Arguments and options that several commands of `item` share."""

import re
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import UserError
from pipeline.shipped import folder

_SECTIONS = ("corpus", "nodes")  # every DAG file has them, and hardly any other YAML
_KEYS = [re.compile(rf"^['\"]?{name}['\"]?\s*:", re.M) for name in _SECTIONS]


def complete_dag(incomplete: str) -> list[str]:
    """The DAG files of the current folder, and the shipped names, that begin so."""
    return [name for name in [*dags_here(), *shipped()] if name.startswith(incomplete)]


DagArgument = Annotated[
    str | None,
    typer.Argument(
        help="Path of a DAG file, or a shipped name: demo. Default: the DAG file of this folder.",
        autocompletion=complete_dag,
        show_default=False,
    ),
]
StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the Parquet cache.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. captions.num_beams=1."),
]
LimitOption = Annotated[
    int | None,
    typer.Option(min=1, help="Only N files, evenly spread; a cache of its own (corpus.limit)."),
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
MaxHoursOption = Annotated[
    float | None,
    typer.Option(
        "--max-hours",
        min=0,
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
