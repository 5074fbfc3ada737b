"""What plugins offer, by kind and name.

A plugin is a file that a DAG names (`plugins: [./my_stage.py]`), with one or several of the
constants of `KINDS`; or an installed package with entry points in the groups `item.stage`,
`item.captioner`, `item.layout`, `item.feature`, `item.baseline`, whose names are those offered.
What it offers is told apart by the hash of its source, which is in the fingerprint of everything
that is made by it; what it imports from elsewhere is not.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import Any

from pipeline import tables
from pipeline.errors import UserError, worded
from pipeline.plugins.file import load

# kind -> the constant that a file has of it, and the class that this is of
KINDS = {
    "stage": ("STAGE", "Stage"),
    "captioner": ("CAPTIONER", "Captioner"),
    "layout": ("LAYOUT", "Layout"),
    "feature": ("FEATURE", "Feature"),
    "baseline": ("BASELINE", "Baseline"),
}
CAPTIONER = "plugin:"  # before a captioner's name, where a node names its model
_GROUP = "item."  # of entry points, before the kind


@dataclass(frozen=True)
class Offer:
    """A stage, captioner, layout, feature or baseline; `value` is what its kind is.

    `place`: the file, or the entry point. `digest`: SHA-256 of the source, 64 hex digits.
    """

    kind: str
    name: str
    value: Any
    place: str
    digest: str


_known: dict[tuple[str, str], Offer] = {}  # of files, in the order in which they were loaded
# the sources whose names may be said now: a DAG knows its own plugins, and not another's
_said: ContextVar[frozenset[str] | None] = ContextVar("said", default=None)


def use(places: Iterable[str]) -> list[Offer]:
    """Loads plugins' files and returns what they offer; what is loaded already stays.

    A file that has changed since takes the place of what it was. UserError for one that cannot be
    loaded, that offers nothing, and for a name that another file offers otherwise.
    """
    found = []
    for place in places:
        module, digest = load(place)
        own = [
            _checked(kind, getattr(module, constant), place, digest)
            for kind, (constant, _) in KINDS.items()
            if hasattr(module, constant)
        ]
        if not own:
            names = ", ".join(constant for constant, _ in KINDS.values())
            raise UserError("the plugin offers nothing", place, f"it defines none of {names}")
        for offer in own:
            other = _known.get((offer.kind, offer.name))
            if other is not None and other.place != place and other.digest != digest:
                raise UserError(
                    f"two plugins offer a {offer.kind} '{offer.name}'",
                    f"{other.place} and {place}",
                    "rename one, or use them in different processes",
                )
            if other is None or other.digest != digest:
                _known[offer.kind, offer.name] = offer
        found += own
    return found


def find(kind: str, name: str) -> Offer | None:
    """What is offered under a name; None if it is nothing.

    UserError for an installed plugin that cannot be loaded.
    """
    if offer := _known.get((kind, name)):
        return offer
    point = _installed(kind).get(name)
    return None if point is None else _loaded(kind, point)


def names(kind: str) -> tuple[str, ...]:
    """The names that may be said: of installed packages, and of the files that are `visible`."""
    said = _said.get()
    known = (o for o in _known.values() if said is None or o.digest in said)
    return (*_installed(kind), *(offer.name for offer in known if offer.kind == kind))


def places() -> tuple[str, ...]:
    """The files that are loaded, for other processes to load as well."""
    return tuple(dict.fromkeys(offer.place for offer in _known.values()))


def file_of(kind: str, name: str) -> str:
    """The file that offers it; "" for what an installed package offers, or `item` itself."""
    offer = _known.get((kind, name))
    return offer.place if offer else ""


def place_of(error: BaseException) -> str | None:
    """`…/mine.py:12`, the last line of a plugin's file that an error passed; None of none."""
    files = places()
    lines = [one for one in extract_tb(error.__traceback__) if one.filename in files]
    return f"{lines[-1].filename}:{lines[-1].lineno}" if lines else None


def digests(kind: str, names: Collection[str]) -> dict[str, str]:
    """Of those of the names that plugins offer the hash of their source."""
    found = {name: find(kind, name) for name in names}
    return {f"{kind} {name}": offer.digest for name, offer in found.items() if offer}


@contextmanager
def visible(offers: Iterable[Offer]) -> Iterator[None]:
    """Within it `names` are those of these files alone."""
    token = _said.set(frozenset(offer.digest for offer in offers))
    try:
        yield
    finally:
        _said.reset(token)


@cache
def _installed(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_GROUP + kind)}


@cache
def _loaded(kind: str, point: EntryPoint) -> Offer:
    place = f"{point.group}: {point.name} = {point.value}"
    try:
        value, source = point.load(), find_spec(point.module)
    except Exception as error:  # a package's code raises anything
        raise UserError(f"a plugin cannot be loaded: {worded(error)}", place) from error
    origin = Path((source and source.origin) or "")
    files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    offer = _checked(kind, value, place, digest)
    if offer.name != point.name:
        raise UserError(f"it offers '{offer.name}', and its entry point says '{point.name}'", place)
    return offer


def _checked(kind: str, value: Any, place: str, digest: str) -> Offer:
    """UserError for a value that is not of its kind; a stage's own table is known from now on."""
    constant, wanted = KINDS[kind]
    if type(value).__name__ != wanted or type(value).__module__.split(".")[0] != "pipeline":
        raise UserError(
            f"{constant} is a {type(value).__name__}, not a {wanted}",
            place,
            f"import pipeline as item; {constant} = item.{wanted}(name=…)",
        )
    if kind == "stage" and value.columns is not None:
        try:
            tables.declare(value.output, value.columns)
        except ValueError as error:
            raise UserError(f"STAGE.columns: {error}", place) from None
    return Offer(kind, value.name, value, place, digest)
