"""`item init`: a DAG file for a folder of images, after which no command needs a flag."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.call import reported, say
from pipeline.cli.options import DEFAULT_STORE, JsonOption, dags_here
from pipeline.errors import UserError, refusals_explained

_MODELS = ("auto", "bundled", "public")


def init(
    folder: Annotated[str, typer.Argument(help="Where the images are: a folder, or a URL.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write (default: NAME.yaml, here)."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the DAG (default: the folder's).")] = None,
    layout: Annotated[
        str, typer.Option(help="How labels lie in the paths (default: what the folders say).")
    ] = "auto",
    models: Annotated[
        str,
        typer.Option(
            metavar="auto|bundled|public",
            help="bundled: small ones that know no photographs; public: checkpoints for this "
            "machine's size; auto: public, where they are on this machine already.",
        ),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at a folder of images, and write a complete DAG file for it, with comments.

    It has absolute paths. In its folder `item plan`, `item run` and `item query …` then need no
    flags. No image is opened.
    """
    with reported("init", None, None, None, None, as_json, needs_dag=False) as call:
        from pipeline.dag.graph import read
        from pipeline.errors import nearest
        from pipeline.setup.new_dag import new_dag
        from pipeline.store.outside import check_outside

        if models not in _MODELS:
            raise UserError(
                f"there is no set of models '{models}'", "--models", nearest(models, _MODELS)
            )
        found = new_dag(folder, name, layout, models)
        path = out or Path(f"{found.name}.yaml")
        path = path.expanduser()
        check_outside(path, DEFAULT_STORE)
        if path.suffix not in (".yaml", ".yml"):
            raise UserError("a DAG file ends in .yaml or .yml", str(path), "give --out such a name")
        if not path.absolute().parent.is_dir():
            hint = "make it, or give another --out"
            raise UserError("--out is in a folder that does not exist", str(path), hint)
        if path.exists() and not force:
            hint = "--force writes over it, --out FILE writes another one"
            raise UserError("there is a file of this name already", str(path), hint)
        with refusals_explained("the DAG file cannot be written"):
            path.write_text(found.text, encoding="utf-8")
        read(str(path))  # what it says is checked as any other's
        if as_json:
            seen = found.survey.plain()
            tables = {"labels": seen["mapping"], "misfits": seen["misfits"]}
            facts = {"path": str(path.absolute()), "layout": seen["layout"]}
            call.answer(tables, **facts, models=found.models.name, experiment=found.experiment)
            return
        for line in found.lines:
            say(line)
        others = [dag for dag in dags_here() if dag != path.name]
        here = path.absolute().parent == Path.cwd()
        short = "" if here and not others else f" {path}"
        say(f"{path}: written. Next: `item plan{short}`, `item run{short}`")
