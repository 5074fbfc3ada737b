"""`item models`: the models that a DAG needs, brought onto this machine."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.call import FAILED_ROWS, reported, say
from pipeline.cli.console import print_models
from pipeline.cli.options import DEFAULT_STORE, DagArgument, JsonOption, SetOption

models = typer.Typer(help="The models that a DAG needs.", no_args_is_help=True)


@models.callback()
def _models() -> None:
    """The models that a DAG needs."""


@models.command("fetch")
def models_fetch(
    dag: DagArgument = None,
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
    with reported("models fetch", dag, overrides, None, None, as_json) as call:
        from pipeline.dag.graph import read
        from pipeline.setup.fetch import fetch
        from pipeline.store.outside import check_outside

        places = [f"lock={lock}"] if lock else []
        draft = read(call.dag, [*(overrides or []), *places], new_lock=True)
        check_outside(draft.lock.path, DEFAULT_STORE, "lock")
        found = fetch(draft, lambda line: say(line, err=True), upgrade)
        code = FAILED_ROWS if any(model.state == "missing" for model in found) else 0
        if as_json:
            rows = [vars(model) for model in found]
            call.answer({"models": rows}, code, lock=str(draft.lock.path))
        else:
            print_models(found)
            if draft.lock.path.exists():
                say(f"revisions are in {draft.lock.path}")
        if code:
            raise typer.Exit(code)
