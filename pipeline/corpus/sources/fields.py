"""What a table, or files beside an image, say of it: label, generator, split, caption, ….

Which of their columns says what is `corpus.columns`; where that is silent, a column of the usual
name does. A label is a word of the layouts' vocabulary, 0 (real) or 1 (fake), or what
`corpus.labels` says a value means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.layouts.vocabulary import label_of, split_of
from pipeline.corpus.sources.found import FIELDS, SAID

IMAGE, STAMP = "image", "stamp"
ROLES = (IMAGE, STAMP, *SAID)

_USUAL = {
    "label": ("label", "cls"),
    "class_name": ("class_name",),
    "caption": ("caption", "text", "txt"),
    STAMP: ("stamp", "etag", "sha256"),
}
_WORDS = {"real": 0, "fake": 1}
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Fields:
    """How the user reads columns.

    `columns`: a role of ROLES -> the column that has it, or None where none has. `labels`: a value
    of the label's column -> real or fake.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def candidates(self, role: str) -> tuple[str, ...]:
        """The columns that may have a role, the first that is there has it."""
        if role in self.columns:
            stated = self.columns[role]
            return () if stated is None else (stated,)
        return _USUAL.get(role, (role,))

    @property
    def wanted(self) -> list[str]:
        """All columns that may say something of an image."""
        return list(dict.fromkeys(n for role in (STAMP, *SAID) for n in self.candidates(role)))

    def missing(self, names: Sequence[str]) -> tuple[str, str] | None:
        """(role, column) of the first that is stated and not among `names`."""
        stated = ((role, name) for role, name in self.columns.items() if name is not None)
        return next(((role, name) for role, name in stated if name not in names), None)

    def read(self, columns: Mapping[str, pa.Array], count: int) -> dict[str, pa.Array]:
        """The columns FIELDS of `count` images by columns of theirs, each [count].

        `problem` says why a row's label or split cannot be read; then all it says is null.
        """
        found: dict[str, pa.Array] = {}
        problems = np.full(count, None, object)
        for role in SAID:
            name = next((one for one in self.candidates(role) if one in columns), None)
            if name is None:
                found[role] = pa.nulls(count, FIELDS[role])
                continue
            texts = _as_text(columns[name])
            if role == "label":
                texts, bad = _mapped(texts, self._label, pa.int8())
            elif role == "split":
                texts, bad = _mapped(texts, split_of, pa.string())
            elif role == "released":
                texts, bad = _mapped(texts, _day, pa.string())
            else:
                found[role] = texts
                continue
            found[role] = texts
            for row in np.flatnonzero(bad):
                value = columns[name][int(row)].as_py()
                problems[row] = _problem(role, name, str(value)[:_SHOWN])
        found["problem"] = pa.array(problems, pa.string())
        return found

    def _label(self, value: str) -> int | None:
        if value in self.labels:
            return _WORDS[self.labels[value]]
        return label_of(value)


def _problem(role: str, column: str, value: str) -> str:
    if role == "label":
        return (
            f"the {column} '{value}' is neither real nor fake: say which by `corpus.labels`, or "
            "`corpus.columns: {label: null}` if it is no label"
        )
    if role == "released":
        return f"the {column} '{value}' is no date (YYYY-MM-DD)"
    return (
        f"the {column} '{value}' is none of train, val, test: `corpus.columns: {{split: null}}` "
        "if it is no split"
    )


def _day(value: str) -> str | None:
    """A date as YYYY-MM-DD, of one or of a point in time; None for anything else."""
    try:
        return datetime.fromisoformat(value).date().isoformat()
    except ValueError:
        return None


def _mapped(texts: pa.Array, meaning, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """(what each text means, which of them mean nothing): few differ, so each is asked once."""
    coded = texts.dictionary_encode()
    known = [meaning(word) for word in coded.dictionary.to_pylist()]
    found = pa.array(known, kind).take(coded.indices)
    bad = pc.and_(pc.is_valid(texts), pc.is_null(found))
    return found, bad.to_numpy(zero_copy_only=False)


def _as_text(values: pa.Array) -> pa.Array:
    """Values as text, string [n]: 1.0 is 1, a truth is no number; empty text is null."""
    kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_floating(kind):
        whole = values.to_numpy(zero_copy_only=False)
        if np.all(np.isnan(whole) | (whole == np.round(whole))):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values).cast(pa.int64())
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        texts = pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())
    else:
        texts = values.cast(pa.string())
    texts = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
