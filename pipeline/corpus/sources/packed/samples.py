"""The images of one tar or zip archive, and the files beside them that say what they are.

As in WebDataset files of one name are one sample: `a/0001.jpg`, `a/0001.json`, `a/0001.cls`,
`a/0001.txt`. The name ends at its last dot; where nothing of that name is there, at the dot before
it, so that names with dots never become one. A value of a JSON object is a column, and every other
suffix is one.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

import pyarrow as pa

from pipeline.corpus import names as spelt
from pipeline.corpus.sources.fields import Fields
from pipeline.corpus.sources.found import FILES, HIDDEN, IMAGE_SUFFIXES, NOT_A_FILE, suffix_of
from pipeline.corpus.sources.packed import tar, zip
from pipeline.corpus.sources.packed.members import TAR, ZIP, Member, member_uri, parsed, tidy

_BATCH = 65_536  # images whose uris are in Python at a time
_MOST = 2**20  # bytes of a file beside an image
_JSON = ".json"


@dataclass(frozen=True)
class Archive:
    """A file that holds images: `name` is that below the corpus root, "" where it is the root."""

    kind: str
    uri: str
    name: str
    stamp: str | None

    def path_of(self, member: str) -> str:
        """The path of a member below the corpus root, as text."""
        return spelt.path_of(f"{self.name}/{member}" if self.name else member)


@dataclass
class Listed:
    """What an archive holds: `files` and `unlisted` of the schema FILES, and what else is there.

    `beside` counts files that say something of images, `ignored` those that are not read.
    """

    files: pa.Table
    unlisted: pa.Table = field(default_factory=FILES.empty_table)
    ignored: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)


class _Item(NamedTuple):
    kind: str
    name: str
    size: int
    where: str  # of its uri
    of: str = ""  # what a link stands for, what is wrong with the damaged


def samples(archive: Archive, file: IO[bytes], size: int, fields: Fields) -> Listed:
    """The images of an archive of `size` bytes, in its order. ArchiveError for what is none."""
    if archive.kind == TAR:
        items = _tarred(tar.entries(file, size))
    else:
        items = (_Item(tar.FILE, n, size, where) for n, where, size in zip.entries(file))

    def read(item: _Item) -> bytes:
        """A member's content, from the file that is open."""
        member = parsed(member_uri(archive.kind, item.name, archive.uri, item.where))
        return _content(member, file)

    found = _Samples(archive, fields, read)
    for item in items:
        found.add(item)
    return found.listed()


def _tarred(entries: Iterator[tar.Entry]) -> Iterator[_Item]:
    for one in entries:
        yield _Item(one.kind, one.name, one.size, f"at={one.start}&bytes={one.size}", one.of)


def _content(member: Member | None, file: IO[bytes]) -> bytes:
    if member is None:
        raise OSError("not a member")

    def read(start: int, size: int) -> bytes:
        """Bytes of the archive."""
        file.seek(start)
        return file.read(size)

    if member.kind == ZIP:
        return zip.unpacked(member, read)
    return read(member.where["at"], member.where["bytes"])


class _Samples:
    """The members of an archive, as they come."""

    def __init__(self, archive: Archive, fields: Fields, read: Callable[[_Item], bytes]):
        self._archive, self._read, self._fields = archive, read, fields
        self._wanted = fields.wanted
        self._suffixes = {_JSON, *(f".{name}" for name in self._wanted if "." not in name)}
        self._images: list[_Item] = []
        self._links: list[_Item] = []
        self._bad: list[_Item] = []
        self._rows: dict[str, int] = {}  # name of a sample -> its row in the columns
        self._columns: dict[str, list[Any]] = {name: [] for name in (*self._wanted, "problem")}
        self._beside: Counter[tuple[str, str]] = Counter()  # by sample and suffix
        self._ignored: Counter[str] = Counter()

    def add(self, item: _Item) -> None:
        """A member."""
        name = tidy(item.name)
        if name != item.name:
            item = item._replace(name=name)
        suffix = name[name.rfind(".") :]  # as nearly all are
        if suffix not in IMAGE_SUFFIXES or suffix == name:
            suffix = suffix_of(name.rpartition("/")[2])
        if item.kind == tar.DAMAGE:
            self._bad.append(item)
        elif any(part[:1] == "." or part == "__MACOSX" for part in name.split("/")):
            self._ignored[HIDDEN] += 1
        elif suffix in IMAGE_SUFFIXES:
            if item.kind == tar.OTHER:
                self._ignored[NOT_A_FILE] += 1
            else:
                (self._images if item.kind == tar.FILE else self._links).append(item)
        elif suffix in self._suffixes and item.kind == tar.FILE:
            self._say(item, name[: -len(suffix)], suffix)
        else:
            self._ignored[suffix] += 1

    def _say(self, item: _Item, sample: str, suffix: str) -> None:
        """What a file beside images says of them."""
        row = self._rows.get(sample)
        if row is None:
            row = self._rows[sample] = len(self._rows)
            for column in self._columns.values():
                column.append(None)
        self._beside[sample, suffix] += 1
        try:
            if item.size > _MOST:
                raise ValueError(f"has {item.size:,} bytes")
            text = self._read(item).decode("utf-8-sig")
            found = json.loads(text) if suffix == _JSON else {suffix[1:]: text}
            if not isinstance(found, dict):
                raise ValueError("is no object")
        except (ValueError, OSError, RecursionError) as problem:
            self._columns["problem"][row] = f"the {suffix} beside it cannot be read: {problem}"
            return
        for name in self._wanted:
            value = _value(found, name)
            if value is not None:
                self._columns[name][row] = value

    def listed(self) -> Listed:
        """All of it, once the last member was added."""
        self._follow_links()
        rows = [self._row(item.name) for item in self._images]
        beside, ignored = Counter[str](), self._ignored
        used = set(rows)
        for (sample, suffix), count in self._beside.items():
            (beside if self._rows[sample] in used else ignored)[suffix] += count
        files = _table(self._archive, self._images, self._said(rows))
        unlisted = _table(
            self._archive,
            self._bad,
            {"problem": pa.array([f"a part of the archive: {one.of}" for one in self._bad])},
            "/",
        )
        return Listed(files, unlisted, ignored, beside)

    def _row(self, name: str) -> int | None:
        """The row of the files beside an image."""
        folder, _, last = name.rpartition("/")
        while "." in last:
            last = last.rpartition(".")[0]
            row = self._rows.get(f"{folder}/{last}" if folder else last)
            if row is not None:
                return row
        return None

    def _said(self, rows: Sequence[int | None]) -> dict[str, pa.Array]:
        if not self._rows:
            return {}
        at = pa.array(rows, pa.int64())
        columns = {n: _column(v).take(at) for n, v in self._columns.items() if n != "problem"}
        there = {name: column for name, column in columns.items() if column.null_count < len(rows)}
        found = self._fields.read(there, len(rows))
        problems = _column(self._columns["problem"]).take(at)
        found["problem"] = pa.compute.coalesce(problems.cast(pa.string()), found["problem"])
        return found

    def _follow_links(self) -> None:
        """An image that is a link within the archive is at the place of what it stands for."""
        if not self._links:
            return
        by_name = {item.name: item for item in self._images}
        links = {item.name: item for item in self._links}
        for item in self._links:
            target, steps = item, 0
            while target is not None and target.kind == tar.LINK and steps < 16:
                name, steps = _plain(target.of), steps + 1
                target = by_name.get(name) or links.get(name)
            if target is None or target.kind == tar.LINK:
                why = f"{item.name} is a link to {item.of}, which is not in it"
                self._bad.append(item._replace(of=why))
            else:
                self._images.append(target._replace(name=item.name))


def _plain(name: str) -> str:
    """A path without `.` and `..` in it."""
    parts: list[str] = []
    for part in tidy(name).split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def _value(found: dict[str, Any], name: str) -> Any:
    """A value of an object; `meta.model` is one within another, where no key is called that."""
    if name in found:
        return found[name]
    first, dot, rest = name.partition(".")
    inner = found.get(first)
    return _value(inner, rest) if dot and isinstance(inner, dict) else None


def _column(values: list[Any]) -> pa.Array:
    """Values of any kind as a column; as text where they are of several kinds."""
    try:
        return pa.array(values)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        texts = [None if one is None else str(one) for one in values]
        return pa.array([one and one.encode(errors="replace").decode() for one in texts])


def _table(
    archive: Archive, items: Sequence[_Item], said: dict[str, pa.Array], end: str = ""
) -> pa.Table:
    """Members as rows of FILES."""
    pieces = [FILES.empty_table()]
    for start in range(0, len(items), _BATCH):
        some = items[start : start + _BATCH]
        uris = [member_uri(archive.kind, one.name, archive.uri, one.where) for one in some]
        columns = {
            "uri": pa.array(uris, pa.string()),
            "path": pa.array([archive.path_of(one.name) + end for one in some], pa.string()),
            "bytes": pa.array([None if end else one.size for one in some], pa.int64()),
            "stamp": pa.array([archive.stamp] * len(some), pa.string()),
        }
        for name in FILES.names[4:]:
            kind = FILES.field(name).type
            own = said.get(name)
            none = own is None
            columns[name] = pa.nulls(len(some), kind) if none else own[start : start + len(some)]
        pieces.append(pa.table(columns, schema=FILES))
    return pa.concat_tables(pieces)
