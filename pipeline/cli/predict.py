"""`item predict` and `item export`: a trained run on one's own images, here and elsewhere."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.call import FAILED_ROWS, INTERRUPTED, Call, reported, say
from pipeline.cli.options import (
    DEFAULT_STORE,
    DagArgument,
    FormatOption,
    InlineOption,
    JsonOption,
    RunArgument,
    SetOption,
    StoreOption,
    is_dag,
)
from pipeline.engine.health.fork import forked
from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.predict.detector import Detector, Meant
    from pipeline.predict.inputs import File

_SHOWN = ("path", "verdict", "probability", "percentile", "caption")
_OBJECTS_SHOWN = ("path", "phrase", "cosine", "distance", "percentile", "x0", "y0", "x1", "y1")
_OF_ALL = ("threshold", "unsure_low", "unsure_high", "uncalibrated")  # said below the table

MethodOption = Annotated[
    str | None,
    typer.Option(help="A method of the run's table (default: its best head on validation)."),
]


ImagesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|FOLDER|@LIST|-…",
        help="Image files, folders, .zip, .tar or .parquet of them, addresses. @LIST: a text "
        "file with one a line; -: the same from stdin.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Processes (default: for many files one for each core, else one)."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the verdicts, a row an image with its objects in a column, to this file: "
        ".csv, .json, .md, .parquet, .txt.",
    ),
]
StallOption = Annotated[
    str,
    typer.Option(
        "--stall",
        metavar="TIME",
        help="A process without a sign of life for so long (30s, 10m, 2h; off) hangs: it is ended, "
        "and the image at fault found, which could not be judged.",
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write a page: the images with their boxes, and a table."
    ),
]


@dataclass(frozen=True)
class _Places:
    """Where verdicts go: in a `format` to `out` or the terminal, and as a page to `html`."""

    format: str
    out: Path | None
    html: Path | None

    @classmethod
    def checked(
        cls, form: str | None, out: Path | None, html: Path | None, store: Path, as_json: bool
    ) -> "_Places":
        """UserError before anything is computed for what could not be written in the end."""
        from pipeline.output import formats
        from pipeline.store.outside import check_outside

        if as_json and (form or out):
            raise UserError("--json is the answer of the command", hint="leave --format, --out out")
        found = cls(formats.chosen(form, out), out, html)
        for option, place in (("--out", out), ("--html", html)):
            check_outside(place, store, option)
            if place is not None and not place.absolute().parent.is_dir():
                hint = f"make it, or give another {option}"
                raise UserError(f"{option} is in a folder that does not exist", str(place), hint)
        return found


@dataclass(frozen=True)
class _Judged:
    """The `verdicts` of `files`, unless it is `whole` only of the first."""

    files: "list[File]"
    verdicts: "pa.Table"
    whole: bool

    @property
    def failed(self) -> int:
        return self.verdicts["verdict"].null_count

    @property
    def code(self) -> int:
        """The exit code of the command."""
        return (FAILED_ROWS if self.failed else 0) if self.whole else INTERRUPTED


def predict(
    dag: DagArgument = None,
    run: RunArgument = None,
    images: ImagesArgument = None,
    method: MethodOption = None,
    workers: WorkersOption = None,
    inline: InlineOption = False,
    stall: StallOption = "10m",
    form: FormatOption = None,
    out: OutOption = None,
    html: HtmlOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Judge images by a trained run: `item predict demo cross_generator photo.jpg folder/`.

    Or by an export, which needs no store: `item predict EXPORT photo.jpg`. The whole DAG runs in
    memory, with exactly the models that the run was made with. A verdict is sure (real, fake)
    outside the band that kept its promise on validation images, else unsure. Distances have their
    percentile among the cached real images. Exit 1 when an image could not be judged: its row says
    why. --json has the tables `verdicts` and `objects`.
    """
    words = [word for word in (dag, run, *(images or [])) if word is not None]
    (dag, run, named), needs_dag = _parted(words)
    cached = store if needs_dag else None
    with reported("predict", dag, overrides, None, cached, as_json, needs_dag) as call:
        listed = sys.stdin.buffer.read() if "-" in named else b""
        over = None if inline or workers else forked(_say_died)
        from pipeline.corpus.decoders import THREAD_VARIABLES
        from pipeline.engine.health import durations, silence

        for name in THREAD_VARIABLES:  # as a worker of a run: torch reads them when it is imported
            os.environ.setdefault(name, "1")
        from pipeline.predict.detector import Detector
        from pipeline.predict.inputs import found
        from pipeline.predict.workers import fitting

        quiet = durations.parse(stall, "--stall")
        if inline and workers:
            raise UserError("--inline judges in this process", hint="leave --workers out")
        places = _Places.checked(form, out, html, store, as_json)
        run = _complete(run, named, words)
        files = found(named, lambda: listed)
        detector = Detector(_meant(call, run, method, needs_dag))
        _say_run(detector.meant, files)
        count = 0 if inline else workers or fitting(detector.meant.reading.nodes, len(files))
        if over:
            silence.ends_process(quiet)
        elif not inline:  # no few images here either, where they are not apart from the command
            count = max(1, count)
        judged = _judged(detector, files, count, quiet)
        if over:
            over(judged.code)
        _deliver(call, detector.meant, judged, places)


def _say_died(status: int) -> None:
    how = f"by signal {-status}" if status < 0 else "without a sign of life"
    say(f"a process that judged ended {how}: once more, to find the image", err=True)


def _complete(run: str | None, named: list[str], words: list[str]) -> str:
    """The run; UserError unless there are images for it, too."""
    if run is None or not named:
        what = "which run judges" if run is None else "there is nothing to judge"
        hint = "a DAG, a run, then images: item predict demo cross_generator photo.jpg folder/ "
        hint += "@LIST; the DAG may be left out where it is the only one of this folder"
        raise UserError(what, " ".join(words) or None, hint)
    return run


def _parted(words: list[str]) -> tuple[tuple[str | None, str | None, list[str]], bool]:
    """((DAG, RUN or EXPORT, images), whether a DAG is needed) of the words of a command."""
    from pipeline.predict.names import is_export

    if words and is_export(words[0]):
        return (None, words[0], words[1:]), False
    if words and is_dag(words[0]):
        return (words[0], *(words[1:2] or [None]), words[2:]), True
    return (None, *(words[:1] or [None]), words[1:]), True


def _meant(call: Call, run: str, method: str | None, needs_dag: bool) -> "Meant":
    from pipeline.predict import bundle, found_run

    if not needs_dag:
        return bundle.opened(Path(run), method, call.overrides)
    return found_run.meant(run, call.dag, call.store, method, call.overrides)


def _say_run(meant: "Meant", files: "list[File]") -> None:
    from pipeline.dag import bundled

    trained, method = meant.trained, meant.reading.method
    ap = trained.choices[method].validation_ap
    say(
        f"run {trained.name}/{trained.run_id}, method {method} (validation ap {ap:.3f})",
        err=True,
    )
    told = bundled.note(meant.reading.nodes, [one.uri or "" for one in files])
    for note in (*meant.notes, *filter(None, [told])):
        say(f"note: {note}", err=True)


def _judged(
    detector: "Detector", files: "list[File]", workers: int, stall: float | None
) -> _Judged:
    """Ctrl-C keeps what there is."""
    import pyarrow as pa

    from pipeline import pulse
    from pipeline.predict.answer import VERDICTS
    from pipeline.predict.progress import progress

    found, whole = [VERDICTS.empty_table()], True
    try:
        with progress(len(files)) as done, pulse.task("images"):
            for table in detector.judge(files, workers, done, stall):
                found.append(table)
    except KeyboardInterrupt:
        whole = False
    return _Judged(files, pa.concat_tables(found), whole)


def _deliver(call: Call, meant: "Meant", judged: _Judged, places: _Places) -> None:
    """Shows or writes the verdicts; ends with 1 where some failed, with 130 where some lack."""
    from pipeline.output import formats

    verdicts, code = judged.verdicts, judged.code
    if not judged.whole:
        said = f"interrupted: {len(verdicts):,} of {len(judged.files):,} images were judged"
        say(f"\n{said}", err=True)
        if not len(verdicts):
            if call.as_json:
                call.answer(exit=code, error=UserError(said))
            raise typer.Exit(code)
    if places.html is not None:
        _write_page(meant, judged, places.html)
    if call.as_json:
        _answer(call, meant, judged, places.html)
    elif places.out is not None or places.format != "table":
        formats.deliver(verdicts, places.format, places.out)
    elif places.html is None:
        _show(judged)
    if places.html is not None and not call.as_json:
        size = places.html.stat().st_size / 1e3
        say(f"{places.html}: {size:,.0f} kB", err=places.format != "table")
    if judged.failed:
        said = f"{judged.failed:,} of {len(verdicts):,} could not be judged: see `error`"
        say(said if places.html is None else said.partition(":")[0], err=True)
    if code:
        raise typer.Exit(code)


def _answer(call: Call, meant: "Meant", judged: _Judged, html: Path | None) -> None:
    from pipeline.predict.answer import objects_of

    verdicts = judged.verdicts
    tables = {"verdicts": verdicts.drop_columns("objects"), "objects": objects_of(verdicts)}
    counts = {"images": len(judged.files), "judged": len(verdicts), "failed": judged.failed}
    page = None if html is None else str(html)
    call.answer(tables, judged.code, **_facts(meant), **counts, html=page)


def _show(judged: _Judged) -> None:
    """The tables for people, and what the verdicts go by."""
    from pipeline.output.table import show
    from pipeline.predict.answer import objects_of

    verdicts = judged.verdicts
    objects = objects_of(verdicts)
    first = (*_SHOWN[:2], *(["error"] if judged.failed else []), *_SHOWN[2:])
    show(verdicts.drop_columns(["objects", *_OF_ALL]), sys.stdout, first)
    if len(objects):
        say()
        show(objects, sys.stdout, _OBJECTS_SHOWN)
    if len(verdicts) > judged.failed:
        say(_band(verdicts))


def _write_page(meant: "Meant", judged: _Judged, html: Path) -> None:
    from pipeline.pages.verdicts import page
    from pipeline.store.outside import write_text

    trained, method = meant.trained, meant.reading.method
    notes, verdicts = list(meant.notes), judged.verdicts
    if not judged.whole:
        notes.append(f"Interrupted: {len(verdicts):,} of {len(judged.files):,} were judged.")
    by = [
        ("run", f"{trained.name}/{trained.run_id}"),
        ("method", f"{method} (validation AP {trained.choices[method].validation_ap:.3f})"),
    ]
    variant = trained.experiment.variant
    if variant != "clean":
        by.append(("judged as", variant))
    uris = [file.uri for file in judged.files[: len(verdicts)]]
    text = page(verdicts, uris, by, _band(verdicts), notes, meant.reading.taken.limits)
    write_text(html, text, "--html")


def _facts(meant: "Meant") -> dict[str, Any]:
    trained = meant.trained
    return {
        "experiment": trained.name,
        "run_id": trained.run_id,
        "method": meant.reading.method,
        "reals": dict(meant.percentiles.counts),
    }


def _band(verdicts: "pa.Table") -> str:
    """What the verdicts go by; nothing where there are none."""
    from pipeline.predict.verdict import band

    known = verdicts.filter(verdicts["verdict"].is_valid()).slice(0, 1).to_pylist()
    if not known:
        return ""
    (row,) = known
    return band(row["unsure_low"], row["unsure_high"], row["threshold"])


def export(
    dag: DagArgument = None,
    run: RunArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|FILE.zip", help="Default: EXPERIMENT-RUN.zip, here."),
    ] = None,
    method: MethodOption = None,
    overrides: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a run as one folder or zip that judges images without this store.

    `item predict EXPORT FILES` reads it: weights (safetensors), JSON, the DAG, its lock, and what
    percentiles need of the cached reals. Models are not in it: what `item` brings is everywhere,
    hub models are fetched by the lock's revisions, folders are known by their path and hash.
    """
    if dag and not run and not is_dag(dag):
        dag, run = None, dag
    with reported("export", dag, overrides, None, store, as_json) as call:
        from pipeline.dag.graph import load
        from pipeline.predict import bundle
        from pipeline.store.outside import check_outside

        if run is None:
            raise UserError("which run is exported?", hint="item export demo cross_generator")
        meant = _meant(call, run, method, needs_dag=True)
        place = out or Path(f"{meant.trained.name}-{meant.trained.run_id}.zip")
        check_outside(place, store)
        needs = bundle.export(load(call.dag, list(call.overrides)), meant, place)
        if as_json:
            call.answer(path=str(place.absolute()), **_facts(meant), needs=needs)
            return
        for note in meant.notes:
            say(f"note: {note}", err=True)
        say(f"{place}: written. Next: `item predict {place} FILES`, on any machine with item")
        for line in needs:
            say(f"it needs there {line}")
