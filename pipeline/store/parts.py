"""The store: `STORE/<stage>/<fingerprint>/part-00042-<members>.parquet`, and nothing else knows it.

What a part's members are says the file of its name in `images`: contents, in the order in which
this store first met them. It never changes; any node's file of this name has rows for as many of
them as were asked for so far. Of images in a variant the name ends in a tag:
`part-00042-<members>-<tag>.parquet`.
A part file is its own commit mark: written to a temporary name in the same folder, fsynced and
renamed. A killed run leaves at most temporary files and claims on parts (`store.sharing.claims`),
which the node's next run removes.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from glob import escape
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from pipeline.dag.elsewhere import called
from pipeline.dag.graph import Node
from pipeline.errors import UserError, refusals_explained
from pipeline.store import part_file, run_folders
from pipeline.store.outside import MARK, check_folder
from pipeline.store.provenance import libraries
from pipeline.store.sharing import claims
from pipeline.tables import declared
from pipeline.version import __version__

FORMAT = 3  # raised when the layout of the store or of its tables changes
_PART = re.compile(r"(part-(\d{5,})-[0-9a-f]{8})(?:-([a-z][a-z0-9_.+]+))?\.parquet")
_PATH = re.compile(rf"[\"']([^\"']*/{_PART.pattern})[\"']")  # as messages of libraries name one
RECIPE = "_recipe.json"  # other readers of a folder of Parquet skip a leading _
ANSWER = "_answer.json"  # see `Store.remember`
ARCHIVE = "_archive-"  # and a hash: see `store.archive_index`


def members(keys: list[str]) -> str:
    """The hash in a part's name: 8 hex digits over its keys, in order."""
    return sha256("\n".join(keys).encode()).hexdigest()[:8]


def part_name(number: int, keys: list[str]) -> str:
    """The file name of part `number` with these keys (image ids; URIs for the listing)."""
    return f"part-{number:05d}-{members(keys)}.parquet"


def named_in(text: str) -> str | None:
    """The path of a part that stands in a text between quotes."""
    found = _PATH.search(text)
    return found[1] if found else None


def tagged(name: str, tag: str) -> str:
    """The file name of a clean part's images in a variant; the name itself without a tag."""
    return f"{_parsed(name)[1]}-{tag}.parquet" if tag else name


def part_number(name: str) -> int:
    """The number in a part's file name."""
    return int(_parsed(name)[2])


def free_numbers(names: Iterable[str]) -> Iterator[int]:
    """Numbers for new parts beside those with these file names: the lowest first, without end."""
    taken = {part_number(name) for name in names}
    return (number for number in count() if number not in taken)


def is_part(name: str) -> bool:
    """Whether a file of this name is a part."""
    return _PART.fullmatch(name) is not None


def part_tag(name: str) -> str:
    """The tag in a part's file name: empty for clean images, and for the listing."""
    return _parsed(name)[3] or ""


def clean_part(name: str) -> str:
    """The file name of the part whose images, unperturbed, these are."""
    return f"{_parsed(name)[1]}.parquet"


def _parsed(name: str) -> re.Match[str]:
    match = _PART.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is not the name of a part")
    return match


class Store:
    """A folder of cached tables. Reading needs no claim; whoever writes a part has claimed it."""

    def __init__(self, root: Path | str):
        check_folder(root)
        self.root = Path(root).expanduser().resolve()
        self.runs_folder = self.root / "runs"  # of trained heads: <experiment>/<run id>
        self.aside = self.root / "set-aside"  # bad parts
        self._check_format()

    def _check_format(self) -> None:
        mark = self.root / MARK
        if self.root.exists() and not self.root.is_dir():
            raise UserError("the store is a file, not a folder", str(self.root), "give --store DIR")
        if not mark.exists():
            return
        try:
            found = int(json.loads(mark.read_text())["format"])
        except (ValueError, KeyError, TypeError):
            raise UserError(
                "the store's own description is damaged",
                str(mark),
                f'write {{"format": {FORMAT}}} into it, if item {__version__} or one of the same '
                "format made the store; or give another --store",
            ) from None
        if found != FORMAT:
            age = "newer" if found > FORMAT else "older"
            raise UserError(
                f"the store was written by a{'n' if age == 'older' else ''} {age} version "
                f"(format {found}; this is item {__version__}, format {FORMAT})",
                str(self.root),
                "install the matching version of item-pipeline, or give another --store",
            )

    def check_there(self) -> None:
        """UserError where no run has made a store yet."""
        if not (self.root / MARK).exists():
            hint = "go to the folder that you ran in, or give --store"
            raise UserError("there is no store here", str(self.root), hint)

    def create(self) -> None:
        """Makes the folder and its format mark; UserError when that cannot be done."""
        mark = self.root / MARK
        with refusals_explained(f"cannot write to the store {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)
            if not mark.exists():
                _replace(mark, json.dumps({"format": FORMAT, "created_by": __version__}).encode())

    def folder(self, node: Node) -> Path:
        """Where a node's parts lie."""
        return self.root / node.folder

    def open_node(self, node: Node, dag: str, root: str = "", **more: Any) -> None:
        """Makes a node's folder with its readable recipe, which names the DAG and the corpus.

        `more` is kept there as well, and read by `recipe`; it is no part of the fingerprint.
        """
        folder = self.folder(node)
        recipe = folder / RECIPE
        if recipe.exists():
            return
        with refusals_explained(f"cannot write to the store {self.root}"):
            folder.mkdir(parents=True, exist_ok=True)
            about = {"node": node.name, "dag": dag, "corpus": root, "created": _now(), **more}
            about["called"] = called(node.stage, node.parameters)
            about["item"] = __version__
            _replace(recipe, json.dumps({**about, **node.recipe}, indent=1).encode())

    def remember(self, node: Node, answer: Mapping[str, Any]) -> None:
        """Leaves an answer in a node's folder, which may be lost; nothing on a read-only store."""
        with suppress(OSError):
            _replace(self.folder(node) / ANSWER, json.dumps(answer).encode())

    def recall(self, node: Node) -> dict[str, Any]:
        """The answer that was left in a node's folder; empty when there is none."""
        with suppress(OSError, ValueError):
            found = json.loads((self.folder(node) / ANSWER).read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def recipe(self, node: Node) -> dict[str, Any]:
        """The recipe in a node's folder; empty when there is none that can be read."""
        with suppress(OSError, ValueError):
            return json.loads((self.folder(node) / RECIPE).read_text())
        return {}

    def recipes(self, stage: str) -> list[dict[str, Any]]:
        """The recipes of a stage that this store knows, newest first, each with `fingerprint`."""
        found = []
        for path in (self.root / stage).glob(f"*/{RECIPE}"):
            with suppress(ValueError):  # a damaged recipe explains nothing, and harms nothing
                found.append({**json.loads(path.read_text()), "fingerprint": path.parent.name})
        return sorted(found, key=lambda recipe: recipe.get("created", ""), reverse=True)

    def parts(self, node: Node) -> list[Path]:
        """The committed parts of a node, in order of their numbers, in every variant."""
        return self.parts_of(node.folder)

    def parts_of(self, node_folder: str) -> list[Path]:
        """The committed parts of `<stage>/<fingerprint>`, in order of their numbers."""
        folder = self.root / node_folder
        if not folder.is_dir():
            return []
        names = [name for name in os.listdir(folder) if _PART.fullmatch(name)]
        return [folder / name for name in sorted(names, key=lambda name: (part_number(name), name))]

    def all_parts(self) -> Iterator[Path]:
        """The committed parts of every node that was ever cached here."""
        for recipe in sorted(self.root.glob(f"*/*/{RECIPE}")):
            yield from self.parts_of(f"{recipe.parent.parent.name}/{recipe.parent.name}")

    def images_part(self, name: str) -> Path | None:
        """The `images` part called `name`, of any corpus: the same name has the same images."""
        return next(self.root.glob(f"images/*/{name}"), None)

    def runs(self) -> list[Path]:
        """The folders of the trained runs, `STORE/runs/<experiment>/<run id>`, by name."""
        run_folders.restore(self.runs_folder)
        return sorted(path.parent for path in self.runs_folder.glob(f"*/*/{run_folders.METRICS}"))

    def report(self, dag: str) -> Path:
        """Where the report of a DAG lies, once it is written."""
        return self.root / "reports" / f"{dag}.html"

    def report_is(self, dag: str, state: str) -> bool:
        """Whether the report of a DAG is there, and names this state at its beginning."""
        with suppress(OSError), self.report(dag).open(encoding="utf-8") as file:
            return state in file.read(4_096)
        return False

    def write_report(self, dag: str, text: str) -> Path:
        """Writes the report of a DAG, complete or not at all; returns where."""
        path = self.report(dag)
        with refusals_explained(f"cannot write the report of {dag}"):
            path.parent.mkdir(exist_ok=True)
            _replace(path, text.encode("utf-8", "backslashreplace"))
        return path

    def pattern(self, node: Node) -> str:
        """A glob that finds the parts of a node, now and later."""
        return f"{escape(str(self.folder(node)))}/part-*.parquet"

    def runs_pattern(self) -> str:
        """A glob that finds the folders of the trained runs, now and later."""
        run_folders.restore(self.runs_folder)
        return f"{escape(str(self.runs_folder))}/*/*"

    def has(self, node: Node, name: str) -> bool:
        """Whether part `name` of a node is committed."""
        return (self.folder(node) / name).exists()

    def read(self, node_folder: str, name: str, columns: list[str] | None = None) -> pa.Table:
        """One part's table. UserError when the file is damaged, or is another one's."""
        return read_part(self.root / node_folder / name, columns)[0]

    def commit(self, node_folder: str, name: str) -> str | None:
        """The commit of a part; None when it is not there."""
        path = self.root / node_folder / name
        return self.facts(path)["commit"] if path.exists() else None

    def read_marked(self, node_folder: str, name: str) -> tuple[pa.Table, str]:
        """One part's table, and its commit: what stands for its content elsewhere."""
        table, facts = read_part(self.root / node_folder / name)
        return table, facts["commit"]

    def write(
        self, node_folder: str, name: str, table: pa.Table, facts: Mapping[str, Any]
    ) -> tuple[Path, int]:
        """Commits one part with its run statistics; returns its path and size in bytes."""
        path = self.root / node_folder / name
        with refusals_explained(f"cannot write part {name}"):
            return path, write_part(path, table, facts)

    def remove(self, node: Node, name: str) -> None:
        """Removes one part."""
        with refusals_explained(f"cannot remove part {name}"):
            (self.folder(node) / name).unlink(missing_ok=True)

    def facts(self, path: Path) -> dict[str, str]:
        """The run statistics in a part's metadata. UserError when the file is damaged."""
        with _explained(path):
            found = part_file.facts(path)
            check_place(path, found)
        return found

    def set_aside(self, part: Path) -> Path:
        """Moves a bad part to `STORE/set-aside/…`, where nothing looks for parts; returns where.

        UserError while a run is computing parts of its node.
        """
        folder = part.parent.relative_to(self.root)
        with refusals_explained(f"cannot set aside {part}"):
            if busy := claims.living(self.root, str(folder)):
                raise UserError(f"this node is being written by {busy}", str(part), "try later")
            target = self.aside / folder / f"{part.name}.{uuid4().hex[:8]}"
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        return target

    def claiming(
        self,
        say: Callable[[str], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> claims.Claims:
        """A run's claims on parts, to be used as a context; see `pipeline.store.sharing.claims`."""
        return claims.Claims(self.root, say, stopping)

    def is_stopping(self, run: str) -> bool:
        """Whether the run with these claims (`Claims.id`) begins no new part any more."""
        return claims.stopping(self.root, run)


def read_part(
    path: Path, columns: Collection[str] | None = None
) -> tuple[pa.Table, dict[str, str]]:
    """(table, facts) of a part, of these columns or of all.

    UserError when the file is damaged, is another part's, or lacks a column.
    """
    with _explained(path):
        table, facts = part_file.read(path, columns)
        check_place(path, facts)
    return table, facts


def write_part(path: Path, table: pa.Table, facts: Mapping[str, Any]) -> int:
    """Commits a part, with its place, content and libraries among the facts; returns bytes."""
    own = {**place(path), "commit": part_file.content(declared(table))}
    return part_file.write(path, table, {"libraries": libraries(), **facts, **own})


def place(path: Path) -> dict[str, str]:
    """What a part's place in a store says of it: `stage`, `fingerprint` and `part`."""
    return {"stage": path.parent.parent.name, "fingerprint": path.parent.name, "part": path.name}


def check_place(path: Path, facts: Mapping[str, str]) -> None:
    """`part_file.Damaged` when a file is not the part that its place and name say."""
    here = place(path)
    own = {key: facts.get(key, "?") for key in here}
    if own != here:
        raise part_file.Damaged("it is {stage}/{fingerprint}/{part}, put here".format(**own))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raises what is wrong with a part's file as a UserError."""
    try:
        yield
    except part_file.Damaged as error:
        raise UserError(
            f"a cached part cannot be read: {error}",
            str(path),
            "`item verify DAG --fix` sets aside all that are damaged, `item run DAG` computes them "
            "anew",
        ) from None


def size(path: Path) -> int:
    """Bytes of a file; none when it is gone: claims come and go, temporary files are renamed."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".tmp-{uuid4().hex[:12]}-{path.name}")
    temporary.write_bytes(data)
    part_file.commit(temporary, path)
