"""Stage `listing`: one row per file: the labels of its path and the facts of its content."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from operator import itemgetter
from threading import Lock
from typing import Annotated, Any, TypeVar

import pyarrow as pa
from pydantic import AfterValidator, Field

from pipeline import pulse, tables
from pipeline.corpus.file_facts import Facts, describe
from pipeline.corpus.formats.known import FORMATS
from pipeline.corpus.layouts.labels import Labels, Misfit
from pipeline.corpus.layouts.registry import Reading, check_name
from pipeline.corpus.layouts.said import labels_of
from pipeline.corpus.limits import Limits, check_formats, refusal
from pipeline.corpus.sources.extent import all_here
from pipeline.corpus.sources.filesystems import reason
from pipeline.corpus.sources.packed.parquet import forget
from pipeline.corpus.sources.read import CONNECTIONS, Reader
from pipeline.corpus.sources.source import AUTO, PARQUET
from pipeline.errors import reason_of, transient
from pipeline.spec import Parameters, Stage, tuning

_REFUSED_BY = ("format", "width", "height", "decode_bytes")
_LABELS = ("label", "generator", "dataset", "split", "class_name", "released")

_Facts = tuple[Any, ...]  # those of `Facts`
_Row = tuple[str, str, str | None]
Given = TypeVar("Given")
_NONE = (None,) * (len(Facts._fields) - 1)
_FEW = 64  # files that a thread takes at a time: handing over costs as much as a small file
_FEW_CELLS = 16  # of tables: one thread waits while another reads


class Listing(Parameters):
    """How paths and columns are read: see `corpus.layouts.registry.Reading`, and `dag.file.Corpus`.

    Images in other than these `formats`, or beyond the `limits`, are refused. `threads` read files
    of this machine, `connections` those elsewhere.
    """

    layout: Annotated[str, AfterValidator(check_name)]
    dataset: str | None = None
    pattern: str | None = None
    source: str = AUTO
    columns: dict[str, str | None] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    formats: Annotated[tuple[str, ...], AfterValidator(check_formats)] = FORMATS
    limits: Limits = Limits()
    threads: int = tuning(min(4, os.cpu_count() or 1), ge=1)
    connections: int = tuning(CONNECTIONS, ge=1)

    @property
    def reading(self) -> Reading:
        """These in one."""
        return Reading(self.layout, self.dataset, self.pattern)


def run(
    inputs: Mapping[str, pa.Table], parameters: Listing, models: Sequence[Any] = ()
) -> pa.Table:
    """The table `listing` of `inputs["files"]` (schema `corpus.sources.found.FILES`), in its order.

    Each file is read once. A file that cannot be read has a null image_id; one that is no image has
    its id and null facts; one that the corpus refuses (`corpus.limits`) has its facts and labels;
    one whose path does not fit the layout, or whose columns cannot be read, its facts and null
    labels; what cannot be listed (its path ends in `/`) has neither. All have an `error`; where two
    apply, the content's is the one given.
    """
    files = inputs["files"]
    forget()  # what is kept of files that may have changed since
    facts = _described(files, parameters)
    columns: dict[str, Any] = {
        name: [fact[number] for fact in facts] for number, name in enumerate(Facts._fields)
    }
    columns["image_id"] = [sha256 and sha256[:32] for sha256 in columns["sha256"]]
    columns |= {"uri": files["uri"], "stamp": files["stamp"], "given_caption": files["caption"]}
    columns |= labelled(files, _errors(columns, parameters), parameters)
    return tables.build("listing", columns)


def relabelled(rows: pa.Table, files: pa.Table, parameters: Listing) -> pa.Table:
    """Rows of another listing of the same files as this one's: with the labels that it reads."""
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    facts = {name: rows[name].to_pylist() for name in (*_REFUSED_BY, "error")}
    columns |= labelled(files, _errors(facts, parameters), parameters)
    columns["given_caption"] = files["caption"]
    return tables.build("listing", columns)


def _errors(facts: Mapping[str, Sequence[Any]], parameters: Listing) -> list[str | None]:
    """Of each file what is wrong with its content, else why the corpus does not take it."""
    refused = cache(partial(refusal, formats=parameters.formats, limits=parameters.limits))
    rows = zip(*(facts[name] for name in ("error", *_REFUSED_BY)), strict=True)
    # of what has a width an error was another corpus's refusal, or the labels'
    return [error if of[1] is None else refused(*of) for error, *of in rows]


def _described(files: pa.Table, parameters: Listing) -> list[_Facts]:
    """The facts of each file, in order; threads read and describe several at a time."""
    rows = list(zip(*(files[name].to_pylist() for name in ("uri", "path", "problem")), strict=True))
    here = all_here(files)
    in_tables = here and all(uri.startswith(f"{PARQUET}:") for uri, *_ in rows)
    step, threads = (_FEW_CELLS if in_tables else _FEW), parameters.threads
    if not here:
        step, threads = 1, parameters.connections
    few = [rows[start : start + step] for start in range(0, len(rows), step)]
    contents: Iterator[Iterable[bytes | _Facts]] = map(_contents, few)
    if in_tables:  # a cell is read after the one before it: who is ahead would begin anew
        contents = map(list, contents)
    turns = _InTurn(enumerate(contents))

    def work(_: object) -> tuple[int, list[_Facts]]:
        number, some = next(turns)
        return number, list(map(_fact, some))

    found = []
    with ThreadPoolExecutor(threads, thread_name_prefix="listing") as pool:
        for some in pool.map(work, few):
            found.append(some)
            pulse.beat()
    return [fact for _, facts in sorted(found, key=itemgetter(0)) for fact in facts]


class _InTurn(Iterator[Given]):
    """What several threads draw from: only one of them at a time makes what comes next."""

    def __init__(self, given: Iterable[Given]):
        self._given, self._lock = iter(given), Lock()

    def __next__(self) -> Given:
        with self._lock:
            return next(self._given)


def _contents(rows: Iterable[_Row]) -> Iterator[bytes | _Facts]:
    """Each file's content, read when it is asked for; where that fails its facts."""
    with Reader() as reader:
        for row in rows:
            yield _content(reader, *row)


def _content(reader: Reader, uri: str, path: str, problem: str | None) -> bytes | _Facts:
    if path.endswith("/"):
        return *_NONE, problem
    try:
        return reader.read(uri)
    except OSError as error:
        return *_NONE, transient(f"file cannot be read: {reason(error)}")
    except MemoryError as error:
        return *_NONE, reason_of(error)


def _fact(content: bytes | _Facts) -> _Facts:
    if not isinstance(content, bytes):
        return content
    try:
        return describe(content)
    except MemoryError as error:
        return *_NONE, reason_of(error)


def labelled(
    files: pa.Table, errors: Sequence[str | None], parameters: Listing
) -> dict[str, list[Any]]:
    """The labels of the files, and the rows' errors: the contents', else why there are no labels.

    By column.
    """
    found = labels_of(parameters.reading, files)
    none = Labels(dataset=parameters.dataset)
    labels = [none if isinstance(one, Misfit) else one for one in found]
    why = [
        error or (str(one) if isinstance(one, Misfit) else None)
        for one, error in zip(found, errors, strict=True)
    ]
    return {"error": why} | {name: [getattr(one, name) for one in labels] for name in _LABELS}


STAGE = Stage(
    name="listing",
    version=6,
    inputs=("files",),
    output="listing",
    parameters=Listing,
    run=run,
    key="uri",
)
