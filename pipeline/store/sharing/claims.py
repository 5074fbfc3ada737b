"""Claims: which run computes which part, where many runs share one store.

A claim is a file `.claim-<key>` in a node's folder that names a run; the key is a part's name, or
`index`. Making it is atomic (O_CREAT | O_EXCL), also over NFS: of many runs exactly one succeeds.
It lasts as long as the run's lease (`store.sharing.lease`), whose beat renews all of a run's
claims. Temporary files of a part belong to whoever has its claim: nobody else removes them.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import NamedTuple, Self

from pipeline.errors import refusals_explained
from pipeline.store.sharing import lease
from pipeline.store.sharing.lease import BEAT, Lease, Watch

AGAIN = 1.0  # seconds until a claim of another run is looked at again
REPEAT = 300.0  # seconds until the user is told again for whom we wait
_PREFIX = ".claim-"
_LEASES = ".leases"


class Holder(NamedTuple):
    """Who has a claim: a run's id, and for people, as `process 12 on gpu-7 since …`.

    Both are empty while a claim is being written.
    """

    id: str
    who: str


class Claims:
    """The claims of one run on the store `root`. Use as a context: on the way out all are released.

    Nothing is written before the first claim. `say` gets lines for the user; `stopping` tells
    whether the run is to begin nothing more. Folders are given as `<stage>/<fingerprint>`.
    UserError when the store cannot be written.
    """

    def __init__(
        self,
        root: Path,
        say: Callable[[str], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
        beat: float = BEAT,
    ):
        self._root, self._say, self._stopping = root, say, stopping
        self._leases = root / _LEASES
        self._lease = Lease(self._leases, say, stopping, beat)
        self._watch = Watch(self._leases, beat)
        self._held: set[Path] = set()
        self._mourned: set[str] = set()

    @property
    def id(self) -> str:
        """Names this run, in its claims and to its workers."""
        return self._lease.id

    @property
    def took_over(self) -> bool:
        """Whether a claim was taken over from a run that ended without giving it back."""
        return bool(self._mourned)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for path in list(self._held):
            self._drop(path)
        self._lease.close()

    def others(self) -> int:
        """How many other runs compute on this store now; they count this one from now on, too."""
        with refusals_explained(f"cannot write to the store {self._root}"):
            self._lease.open()
            return len(self._watch.others(self.id))

    def take(self, folders: Collection[str], key: str) -> Holder | None:
        """Claims `key` in each of these folders, or in none: never waits, so none can deadlock.

        None when it is done, otherwise who was in the way (it may be this run itself).
        """
        taken: list[str] = []
        with refusals_explained(f"cannot claim {key}"):
            for folder in sorted(set(folders)):
                holder = self._take(self._root / folder / f"{_PREFIX}{key}")
                if holder is not None:
                    self.release(taken, key)
                    return holder
                taken.append(folder)
        return None

    def release(self, folders: Collection[str], key: str) -> None:
        """Gives back what `take` took."""
        for folder in set(folders):
            self._drop(self._root / folder / f"{_PREFIX}{key}")

    @contextmanager
    def alone(self, folder: str, what: str, key: str = "index") -> Iterator[bool]:
        """The only right to write `what` in a folder; waits for it, and says for whom.

        Yields whether it was got: not when the run is to stop while it waits.
        """
        told: tuple[str, float] = ("", 0.0)
        while (holder := self.take([folder], key)) is not None:
            if self._stopping():
                yield False
                return
            if holder.id and (holder.id != told[0] or monotonic() - told[1] > REPEAT):
                self._say(f"{what} is being written by {holder.who}: waiting for it")
                told = (holder.id, monotonic())
            sleep(AGAIN)
        try:
            yield True
        finally:
            self.release([folder], key)

    def sweep(self, folder: str) -> None:
        """Removes what dead runs left in a folder: claims, and temporary files of parts."""
        with refusals_explained(f"cannot write to the store {self._root}"):
            self._lease.open()
            self._watch.sweep(self._leases / self.id)
            names = os.listdir(self._root / folder)
        keys = {name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)}
        temporary = (name.split("-", 2)[2] for name in names if name.startswith(".tmp-"))
        keys |= {key for key in temporary if key.startswith("part-")}
        for key in sorted(keys):
            if self.take([folder], key) is None:  # then nobody who lives is at it
                _remove_temporary(self._root / folder, key)
                self.release([folder], key)

    def _take(self, path: Path) -> Holder | None:
        """Makes a claim, or takes it over from a dead run; None, or who is in the way.

        A dead run's claim may be removed only by who has, by this same function, the claim on
        removing it, whose name has the dead run's id. That one looks again, now that nobody else
        may remove it: if it is still the dead run's claim, it stays that until it is removed here,
        since the dead do nothing. So a claim that a third run has made meanwhile is never removed.
        Who dies in the midst of it leaves a dead claim, which is taken over in the same way.
        """
        self._lease.open()
        if self._create(path):
            return None
        holder = _holder(path)
        if holder is None:  # released just now
            return Holder("", "")
        if holder.id == self.id or not self._dead(path, holder):
            return holder
        removing = path.with_name(f"{path.name}.of-{holder.id}")
        if (other := self._take(removing)) is not None:
            return other
        try:
            if _holder(path) != holder or not self._dead(path, holder):
                return holder
            path.unlink()
        finally:
            self._drop(removing)
        if not self._create(path):  # somebody was quicker, which is as good
            return _holder(path) or Holder("", "")
        if holder.id and holder.id not in self._mourned:
            self._mourned.add(holder.id)
            self._say(f"going on with what {holder.who} had begun: it is no longer there")
        _remove_temporary(path.parent, path.name.removeprefix(_PREFIX))
        return None

    def _create(self, path: Path) -> bool:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(handle, f"{self.id} {self._lease.who}".encode())
        except OSError:  # a full disk: an empty claim would be nobody's
            path.unlink()
            raise
        finally:
            os.close(handle)
        self._held.add(path)
        return True

    def _drop(self, path: Path) -> None:
        """Removes a claim of ours, unless we were taken for dead and it is another's by now."""
        self._held.discard(path)
        holder = _holder(path)
        if holder is not None and holder.id == self.id:
            path.unlink(missing_ok=True)

    def _dead(self, path: Path, holder: Holder) -> bool:
        if holder.id:
            return self._watch.dead(holder.id)
        return self._watch.unchanged(str(path), b"")  # who made it died before writing it


def stopping(root: Path, run: str) -> bool:
    """Whether the run with this id is about to stop: its workers begin nothing more."""
    return lease.stopping(root / _LEASES / run)


def living(root: Path, folder: str, beat: float = BEAT) -> str | None:
    """Who has claims in a folder, for people; None when nobody has who lives.

    Looks until it knows: at most a minute, and only where a run on another machine left claims.
    """
    watch = Watch(root / _LEASES, beat)
    first: dict[str, bytes] = {}
    while True:
        doubtful = 0
        for path, holder in _claims_in(root / folder):
            if not holder.id:
                doubtful += not watch.unchanged(str(path), b"")
                continue
            if watch.dead(holder.id):
                continue
            mark = lease.mark(root / _LEASES / holder.id)
            if first.setdefault(holder.id, mark) != mark or lease.runs_here(
                root / _LEASES / holder.id
            ):
                return holder.who
            doubtful += 1
        if not doubtful:
            return None
        sleep(min(AGAIN, beat))


def is_claim(name: str) -> bool:
    """Whether a file in a node's folder is a claim."""
    return name.startswith(_PREFIX)


def _claims_in(folder: Path) -> list[tuple[Path, Holder]]:
    paths = [folder / name for name in os.listdir(folder) if is_claim(name)]
    return [(path, holder) for path in paths if (holder := _holder(path)) is not None]


def _holder(path: Path) -> Holder | None:
    """Who has a claim; None when there is none."""
    try:
        return Holder(*path.read_text().partition(" ")[::2])
    except FileNotFoundError:
        return None


def _remove_temporary(folder: Path, key: str) -> None:
    """Removes the temporary files of a part; only called by who has its claim."""
    for path in folder.glob(".tmp-*"):
        if path.name.endswith(f"-{key}"):
            path.unlink(missing_ok=True)
