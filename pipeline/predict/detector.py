"""A trained run, ready to judge images: the whole DAG in memory, and the head on what it gives."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from PIL import Image, ImageOps

from pipeline.engine.machine import on_gpu
from pipeline.errors import UserError
from pipeline.predict import answer
from pipeline.predict.applied import Reading
from pipeline.predict.in_memory import InMemory, Tables
from pipeline.predict.inputs import File, found, table
from pipeline.predict.names import is_export
from pipeline.predict.percentiles import Percentiles
from pipeline.predict.trained import Trained
from pipeline.predict.verdict import judged
from pipeline.predict.workers import Workers

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.head.methods.mlp import Head

    Picture = str | os.PathLike[str] | bytes | Image.Image

_CHUNK = 256  # files at a time, for memory's and progress's sake; a slice may be all of them
_LEAST, _MOST = 16, 64  # of them that a process takes: it is heard of when they are done


def _unheard(images: int) -> None:
    """Nobody asked how far it is."""


@dataclass(frozen=True)
class Meant:
    """A run, and all that it judges by: found and checked, but for its models all loaded.

    `notes`: what is worth knowing, in sentences.
    """

    trained: Trained
    reading: Reading
    head: Head
    percentiles: Percentiles
    notes: tuple[str, ...] = ()


class Detector:
    """Judges images by a trained run. `Detector.load(run)(images)` is a table of verdicts."""

    def __init__(self, meant: Meant):
        self.meant, self._trained, self._reading = meant, meant.trained, meant.reading
        variant = self._trained.experiment.variant
        self._given = (self._reading.nodes, variant, self._reading.taken)
        self._memory = InMemory(*self._given)

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str],
        dag: Dag | str | None = None,
        store: str | os.PathLike[str] = "store",
        method: str | None = None,
        overrides: Sequence[str] | None = None,
    ) -> Detector:
        """A detector of a run: the id or folder of one, an experiment's name, or an export.

        `dag`: the DAG that the run was trained by, its path or its shipped name; an export has its
        own, and for a run's folder one of the same name is looked for, in this folder and among
        the shipped ones. `store`: where its runs and cached reals lie. `method`: a baseline or a
        head of the run's table; default the best head on its validation images. `overrides`: as
        `--set`. Models are loaded with the first images. Raises UserError for a run that is not
        there, or was made by other nodes than the DAG has now; both are named.
        """
        from pipeline.predict import bundle, found_run

        if is_export(run):
            return cls(bundle.opened(Path(run), method, overrides))
        return cls(found_run.meant(os.fspath(run), dag, Path(store), method, overrides))

    def __call__(self, images: Picture | Iterable[Picture]) -> pa.Table:
        """VERDICTS of images, a row each, in their order: see `pipeline.predict.answer`.

        Each is a path (a folder, an archive or an `@LIST` is all of its images), a file's content
        as bytes, or a PIL image. An image that cannot be judged has an `error`, and no verdict.
        Numbers are float64 but for `cosine`, `distance`, boxes and scores, float32; `objects` are
        lists of structs. All is computed in this process, which an image that crashes a decoder
        takes with it: `judge` does it in others. Raises UserError for what no image is to blame
        for.
        """
        one = isinstance(images, str | os.PathLike | bytes | Image.Image)
        given: Iterable[Picture] = [images] if one else images  # type: ignore[list-item, assignment]
        with ExitStack() as stack:
            files: list[File] = []
            for number, picture in enumerate(given):
                files += _files_of(picture, number, stack)
            return pa.concat_tables([answer.VERDICTS.empty_table(), *self.judge(files)])

    def judge(
        self,
        files: Sequence[File],
        workers: int = 0,
        done: Callable[[int], None] = _unheard,
        stall: float | None = None,
    ) -> Iterator[pa.Table]:
        """VERDICTS of files (`pipeline.predict.inputs.found`), some at a time, in their order.

        `workers`: processes that compute, each with models of its own, and one that an image kills,
        or that gives no sign of life for `stall` seconds, costs that image alone; 0: this one.
        `done` hears how many more files were judged.
        """
        size = _CHUNK
        if workers and not on_gpu(self._reading.nodes):
            size = max(_LEAST, min(_MOST, len(files) // (4 * workers)))
        chunks = [files[start : start + size] for start in range(0, len(files), size)]
        given = [table([file for file in some if file.problem is None]) for some in chunks]
        made: Iterator[tuple[pa.Table, Tables]]
        with ExitStack() as stack:
            if workers:
                pool = stack.enter_context(Workers(*self._given, workers, stall))
                made = pool.map(given, done)
            else:
                made = (self._memory.of_files(one, done) for one in given)
            for some, (listing, tables) in zip(chunks, made, strict=True):
                yield self._verdicts(some, listing, tables)

    def _verdicts(self, files: Sequence[File], listing: pa.Table, made: Tables) -> pa.Table:
        if len(made["images"]):
            tables = self._reading.tables(made)
            errors = self._reading.errors(tables)
        else:
            tables, errors = {"images": made["images"]}, {}
        ids = [one for one in tables["images"]["image_id"].to_pylist() if one not in errors]
        p = self._reading.probabilities(self.meant.head, tables, pa.array(ids, pa.string()))
        verdicts = judged(p, self._trained.choices[self._reading.method])
        percentiles = self.meant.percentiles
        return answer.table(files, listing, tables, ids, verdicts, p, errors, percentiles)


def _files_of(picture: Picture, number: int, stack: ExitStack) -> list[File]:
    """The files of one thing that was given; what is no file yet becomes one, for the time."""
    if isinstance(picture, str | os.PathLike):
        path = os.fspath(picture)
        if path == "-":
            raise UserError("'-' is for the command line", hint="give paths, bytes or PIL images")
        return found([path], bytes)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="item-predict-"))
    place = Path(folder) / "image"
    if isinstance(picture, bytes | bytearray | memoryview):
        place.write_bytes(picture)
    elif isinstance(picture, Image.Image):
        place.write_bytes(_encoded(picture))
    else:
        raise UserError(
            f"image {number} is a {type(picture).__name__}",
            hint="give paths, bytes or PIL images (Image.fromarray makes one of an array)",
        )
    return [File(f"#{number}", str(place))]


def _encoded(image: Image.Image) -> bytes:
    """The pixels of a PIL image, upright, without loss."""
    stream, upright = io.BytesIO(), ImageOps.exif_transpose(image)
    if upright.mode == "YCbCr":  # of a file in it only Pillow 13 reads what it wrote
        upright = upright.convert("RGB")
    try:
        upright.save(stream, "PNG")
    except OSError:  # a mode that PNG has not, such as CMYK
        stream = io.BytesIO()
        upright.save(stream, "TIFF")
    return stream.getvalue()
