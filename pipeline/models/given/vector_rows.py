"""Vectors in a user's file: NumPy's .npy and .npz, or a Parquet column of lists, as one array.

A million vectors are gigabytes, of which a part needs four thousand, in any order. So no file is
read for a part: a .npy is memory-mapped where it lies. What cannot be mapped, an .npz (a zip) and
a Parquet file (pages of encoded lists), is written out flat once for each process that loads it,
into a nameless file in the temporary folder (`TMPDIR`), and that is mapped; the system takes it
back when the process ends. Nothing is ever unpickled.
"""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.models.given.text_columns import unreadable

WHAT = "embeddings"
_HINT = "it must be .npy or .npz as NumPy writes them, or Parquet, whichever its name ends in"
_BATCH = 16_384  # rows of Parquet decoded at a time
_CHUNK = 1 << 22  # bytes copied at a time
# what libraries raise about a file that is damaged, or none of theirs
_DAMAGE = (
    *(pa.ArrowException, zipfile.BadZipFile, zlib.error, NotImplementedError),
    *(OSError, ValueError, EOFError),
)


@dataclass(frozen=True)
class VectorRows:
    """`array` [n, d] of float16, float32 or float64, on disk. `faults`: row -> why it is none."""

    array: np.ndarray
    faults: dict[int, str] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of `rows` (int64 [k]), float64 [k, d]; zeros of those at fault."""
        out = np.empty((len(rows), self.array.shape[1]))
        order = np.argsort(rows, kind="stable")  # forward through the file
        out[order] = self.array[rows[order]]
        return out


def npy(path: Path) -> VectorRows:
    """An array [n, d] that lies in a .npy file; UserError for what is none."""
    with _readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):  # a zip or a pickle under another name
            raise ValueError("it is no .npy")
    _check(array.shape, array.dtype, f"{path}")
    return VectorRows(array)


def npz(path: Path, name: str) -> VectorRows:
    """The array `name` [n, d] of an .npz file, written out flat."""
    with _readable(path), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as opened:
        shape, fortran, dtype = _header(opened)
        _check(shape, dtype, f"{path}: {name}")
        with _scratch(int(np.prod(shape)) * dtype.itemsize) as flat:
            shutil.copyfileobj(opened, flat, _CHUNK)  # to the end: the zip's checksum is proved
            size = flat.tell()
            if size != np.prod(shape) * dtype.itemsize:
                raise ValueError(f"the array '{name}' is cut short")
            return VectorRows(_mapped(flat, dtype, shape, "F" if fortran else "C"))


def npz_names(path: Path) -> list[str]:
    """The arrays of an .npz file, by name."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def npz_text(path: Path, name: str) -> pa.LargeStringArray:
    """The array `name` of an .npz file as text [n]; UserError for one of anything else."""
    where = f"{path}: {name}"
    with _readable(path), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as opened:
        shape, _, dtype = _header(opened)
    if dtype.hasobject:
        raise UserError(
            f"the array '{name}' holds Python objects, which are never unpickled",
            where,
            "save it as text: `np.savez(file, keys=np.array(keys, dtype=str), …)`",
        )
    if dtype.kind not in "US" or len(shape) != 1:
        raise UserError(
            f"the array '{name}' holds {dtype} {list(shape)}, not a list of text", where
        )
    with _readable(path), np.load(path, allow_pickle=False) as archive:
        values = archive[name]
        if dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
    return pa.array(values, pa.large_string())


def parquet(path: Path, column: str) -> VectorRows:
    """A Parquet column of lists of floating-point numbers, written out flat.

    d is the length that most of the first rows have; a row of another one, or null, is at fault.
    """
    import pyarrow.parquet as pq

    with _readable(path), pq.ParquetFile(path) as file:
        kind, count = file.schema_arrow.field(column).type, file.metadata.num_rows
        dtype = _list_of(kind, f"{path}: {column}")
        batches = file.iter_batches(_BATCH, columns=[column])
        first = next(batches, None)
        if first is None:
            raise UserError(f"the {WHAT} file has no rows", str(path))
        width = _usual_length(first.column(0), f"{path}: {column}")
        faults: dict[int, str] = {}
        with _scratch(count * width * dtype.itemsize) as flat:
            start = 0
            for batch in chain((first,), batches):
                block, wrong = _block(batch.column(0), width, dtype)
                flat.write(block)
                faults |= {start + row: why for row, why in wrong.items()}
                start += len(block)
            return VectorRows(_mapped(flat, dtype, (count, width), "C"), faults)


def _block(column: pa.Array, width: int, dtype: np.dtype) -> tuple[np.ndarray, dict[int, str]]:
    """Rows [m, d], zeros where there is no such vector, and why not."""
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy()
    good = lengths == width
    block = np.zeros((len(column), width), dtype)
    if good.all() and not column.null_count:
        values = pc.list_flatten(column)
    else:
        values = pc.list_flatten(column.filter(pa.array(good)))
    # a null among the numbers becomes NaN
    block[good] = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    wrong = {
        int(row): "is null" if lengths[row] < 0 else f"has {lengths[row]} numbers, not {width}"
        for row in np.flatnonzero(~good)
    }
    return block, wrong


def _usual_length(column: pa.Array, where: str) -> int:
    lengths = pc.list_value_length(column).drop_null().to_numpy()
    lengths = lengths[lengths > 0]
    if not len(lengths):
        raise UserError("the first rows hold no vector", where)
    return int(np.bincount(lengths).argmax())


def _list_of(kind: pa.DataType, where: str) -> np.dtype:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(kind) for is_kind in lists) or not pa.types.is_floating(kind.value_type):
        raise UserError(f"the column holds {kind}, not lists of floating-point numbers", where)
    return np.dtype(kind.value_type.to_pandas_dtype())


def _check(shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    """UserError unless it is a matrix of float16, float32 or float64."""
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise UserError(
            f"the array holds {dtype}, not floating-point numbers",
            where,
            "save it as float16, float32 or float64",
        )
    if len(shape) != 2 or not all(shape):
        raise UserError(
            f"the array's shape is {list(shape)}, not [images, numbers of a vector]", where
        )


def _header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether in Fortran's order, dtype) of an array; what is read next are its numbers."""
    version = np.lib.format.read_magic(opened)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"version {version} of NumPy's format is not known")
    return read[version](opened)


@contextmanager
def _scratch(size: int) -> Iterator[IO[bytes]]:
    """A nameless file in the temporary folder; UserError where that has no room for `size`."""
    folder = tempfile.gettempdir()
    hint = "set TMPDIR to a folder with room: each worker writes the vectors out once"
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"the vectors take {size / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free",
            folder,
            hint,
        )
    with tempfile.TemporaryFile(prefix="item-vectors-") as file:
        try:
            yield file
        except OSError as error:
            raise UserError(f"the vectors cannot be written out: {error}", folder, hint) from error


def _mapped(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    file.flush()
    return np.memmap(file, dtype, "r", 0, shape, order)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what libraries say of a damaged file into a UserError of one line."""
    try:
        yield
    except _DAMAGE as problem:
        raise unreadable(path, WHAT, problem, _HINT) from problem
