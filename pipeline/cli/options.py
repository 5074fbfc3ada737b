"""Arguments and options that several commands of `item` share."""

from pathlib import Path
from typing import Annotated

import typer

DagArgument = Annotated[str, typer.Argument(help="Path of a DAG file, or a shipped name: demo.")]
StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the Parquet cache.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. captions.num_beams=1."),
]
LimitOption = Annotated[
    int | None,
    typer.Option(min=1, help="Only N files, evenly spread; a cache of its own (corpus.limit)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
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
