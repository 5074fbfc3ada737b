"""The facts of files that may tell a label: what of the listing each one reads, and what to do.

None of them needs a pixel. What is asked of JPEGs alone (quality, tables) is asked among JPEGs, so
that it says what the format does not say already. The file's name is its last part without the
extension: folders hold the labels.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from pipeline.audit.auroc import Learner
from pipeline.audit.finding import percent
from pipeline.audit.learners import by_boosting, by_category, by_tree, codes
from pipeline.audit.rows import Group

_ALIKE = "encode all alike, as the variant `square_224+jpeg_90` does"
_SHOWN = 3  # values of each label that are named


@dataclass(frozen=True)
class Fact:
    """What a label may be told from: its inputs from rows, the learner, words for a reader."""

    check: str
    inputs: Callable[[pa.Table], np.ndarray]
    learn: Learner
    describe: Callable[[pa.Table], list[str]] | None  # a word a row; None: by its only number
    advice: str
    among_jpeg: bool = False

    def seen(self, group: Group) -> str:
        """What reals and fakes have, in words; nothing of several numbers."""
        said: list[str] = []
        if self.describe is None and self.inputs(group.rows).shape[1] > 1:
            return ""
        for name, value in (("real", 0), ("fake", 1)):
            rows = group.rows.filter(pa.array(group.label == value))
            if self.describe is not None:
                said.append(f"{name}: {_commonest(self.describe(rows))}")
            else:
                said.append(f"{name}: {_spread(self.inputs(rows)[:, 0])}")
        return "; ".join(said)


def _numbers(*names: str) -> Callable[[pa.Table], np.ndarray]:
    def inputs(rows: pa.Table) -> np.ndarray:
        return np.stack([_column(rows, name) for name in names], axis=1)

    return inputs


def _column(rows: pa.Table, name: str) -> np.ndarray:
    """A fact or what follows from some, float [n]; NaN where it is not known."""
    if name == "aspect":
        return _column(rows, "width") / _column(rows, "height")
    if name == "bytes_per_pixel":
        return _column(rows, "bytes") / (_column(rows, "width") * _column(rows, "height"))
    return rows[name].cast(pa.float64()).to_numpy()


def _category(name: str) -> Callable[[pa.Table], np.ndarray]:
    return lambda rows: rows[name].to_numpy(zero_copy_only=False).astype(object)


def _words(name: str) -> Callable[[pa.Table], list[str]]:
    return lambda rows: [str(value) for value in rows[name].to_pylist()]


def _exif(rows: pa.Table) -> list[str]:
    both = zip(rows["has_exif"].to_pylist(), rows["orientation"].to_pylist(), strict=True)
    return [f"EXIF, orientation {turned}" if there else "no EXIF" for there, turned in both]


def _sizes(rows: pa.Table) -> list[str]:
    both = zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)
    return [f"{width}x{height}" for width, height in both]


def _commonest(values: list[str]) -> str:
    counts = Counter(values).most_common()
    shown = [f"{value} {percent(count / len(values))}" for value, count in counts[:_SHOWN]]
    more = len(counts) - _SHOWN
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.nanquantile(values, (0.1, 0.5, 0.9))
    return f"median {_short(middle)} (80 %: {_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_NUMBERS = ("bytes", "width", "height", "aspect", "bytes_per_pixel", "jpeg_quality")
_CODES: Mapping[str, Callable[[pa.Table], Any]] = {
    "format": _category("format"),
    "mode": _category("mode"),
    "jpeg_tables": _category("jpeg_tables"),
    "exif": lambda rows: np.array(_exif(rows), object),
}


def _together(rows: pa.Table) -> np.ndarray:
    """float [n, 10]: `_NUMBERS`, then `_CODES` as numbers."""
    columns = [_column(rows, name) for name in _NUMBERS]
    return np.stack([*columns, *(codes(read(rows)) for read in _CODES.values())], axis=1)


FACTS = (
    Fact(
        "format",
        _category("format"),
        by_category,
        _words("format"),
        _ALIKE,
    ),
    Fact(
        "size",
        _numbers("width", "height"),
        by_tree,
        _sizes,
        f"{_ALIKE}; or test within one size",
    ),
    Fact(
        "aspect",
        _numbers("aspect"),
        by_tree,
        None,
        _ALIKE,
    ),
    Fact(
        "file size",
        _numbers("bytes"),
        by_tree,
        None,
        f"{_ALIKE}; what is left then is how well a picture compresses",
    ),
    Fact(
        "bytes per pixel",
        _numbers("bytes_per_pixel"),
        by_tree,
        None,
        f"{_ALIKE}; what is left then is how well a picture compresses",
    ),
    Fact(
        "JPEG quality",
        _numbers("jpeg_quality"),
        by_tree,
        None,
        f"{_ALIKE}; the first encoding's traces stay, less so at a smaller size",
        among_jpeg=True,
    ),
    Fact(
        "JPEG tables",
        _category("jpeg_tables"),
        by_category,
        _words("jpeg_tables"),
        _ALIKE,
        among_jpeg=True,
    ),
    Fact(
        "colour mode",
        _category("mode"),
        by_category,
        _words("mode"),
        "all are read as RGB, but grey stays grey: leave a mode out, `mode = 'RGB'` in the "
        "predicates",
    ),
    Fact(
        "EXIF",
        lambda rows: np.array(_exif(rows), object),
        by_category,
        _exif,
        "no stage reads it but for the orientation; a camera's other traces may tell as well: "
        "`has_exif` in the predicates",
    ),
    Fact(
        "all facts together",
        _together,
        by_boosting((False,) * len(_NUMBERS) + (True,) * len(_CODES)),
        None,
        "what they tell beyond each alone is how well a picture compresses at its size and "
        "quality, which no encoding takes away: read every method beside `metadata`",
    ),
)


def name_tokens(uri: str) -> list[str]:
    """What a file's name is like: its shape, length, words, and how its numbers begin."""
    name = uri.partition("::")[0].rpartition("/")[2]  # in an archive, of the file in it
    name = unquote(name) if "://" in uri else name
    stem = name.rpartition(".")[0] or name
    shape = re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "9", stem))
    found = [f"shape {shape[:40]}", f"length {len(stem)}"]
    found += [f"word {word.lower()[:20]}" for word in re.findall(r"[^\W\d_]{2,}", stem)]
    for number in re.findall(r"\d+", stem):
        value = number.lstrip("0")
        places = [value[:k] + "x" * (len(value) - k) for k in (1, 2) if k <= len(value)]
        found += [f"{len(number)} digits", *(f"number {place}" for place in places)]
    return sorted(set(found))
