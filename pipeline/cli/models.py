"""`item models`: the models that a DAG needs, brought onto this machine."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import FAILED_ROWS, print_json, print_models, reported, say
from pipeline.cli.options import DagArgument, JsonOption, SetOption

models = typer.Typer(help="The models that a DAG needs.", no_args_is_help=True)


@models.callback()
def _models() -> None:
    """The models that a DAG needs."""


@models.command("fetch")
def models_fetch(
    dag: DagArgument,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Lock the hub's present revisions instead.")
    ] = False,
    lock: Annotated[
        Path | None, typer.Option(help="Where the lock goes (short for --set lock=PATH).")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download every model of a DAG, and lock its revision beside the DAG file.

    Afterwards everything runs without a network (HF_HUB_OFFLINE=1). What is here already is not
    downloaded again. The lock of a shipped DAG goes into the current folder. Exit 1 when a model
    could not be had.
    """
    with reported(dag, overrides):
        from pipeline.dag.graph import read
        from pipeline.setup.fetch import fetch

        places = [f"lock={lock}"] if lock else []
        draft = read(dag, [*(overrides or []), *places], new_lock=True)
        found = fetch(draft, lambda line: say(line, err=True), upgrade)
        if as_json:
            print_json({"lock": str(draft.lock.path), "models": [vars(model) for model in found]})
        else:
            print_models(found)
            if draft.lock.path.exists():
                say(f"revisions are in {draft.lock.path}")
        if any(model.state == "missing" for model in found):
            raise typer.Exit(FAILED_ROWS)
