"""The lease of a run on a store: a file that it beats, and how others tell that it is dead.

`STORE/.leases/<id>` says who the run is. Its driver rewrites the file every BEAT seconds, in place;
whoever dies stops. An observer calls a lease dead when MISSED looks, each at least BEAT seconds
after the one before, have found it unchanged. Only the observer's own monotonic clock is read: it
does not matter what time other machines think it is, and a store that did not answer for an hour
counts as one look. Where both sides run on one kernel, a death is seen at once: the file is locked
(flock) as long as its process lives. Where that cannot be, only the beat counts.
"""

import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

BEAT = 10.0  # seconds between two signs of life
MISSED = 6  # so many beats later a lease is dead
_SIZE = 512  # bytes of a lease: always as many, so that it can be rewritten in place
_LOOK = 0.5  # seconds between two looks whether the run is to stop, which workers must hear of
_FOREIGN_AGE = 86400.0  # seconds; a dead run's lease of another machine is swept at this age
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """This run's lease, from the first `open` on; `close` ends it.

    `id` is 12 hex digits; `who` is for people: `process 12 on gpu-7 since …`.

    `stopping` is asked twice a second; the lease says what it answers, for the run's workers to
    read (`stopping` below). `say` gets a line when the lease cannot be renewed.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        stopping: Callable[[], bool],
        beat: float = BEAT,
    ):
        self.id = uuid4().hex[:12]
        self._path = folder / self.id
        self._say, self._stopping, self._beat = say, stopping, beat
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self.who = f"process {os.getpid()} on {socket.gethostname()} since {since}"
        self._about: dict[str, Any] = {"who": self.who, "kernel": _kernel()}
        self._handle = -1
        self._beats = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Makes the lease and starts its beat, unless that is done. Raises OSError."""
        if self._thread is None:
            self._path.parent.mkdir(exist_ok=True)
            self._make()
            self._thread = threading.Thread(target=self._live, name="item-lease", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the lease; what is claimed under it must be released before."""
        if self._thread is not None:
            self._closing.set()
            self._thread.join()
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._thread = None

    def _make(self) -> None:
        """The file, locked and complete before others can see it under its name."""
        temporary = self._path.with_name(f".new-{self.id}")
        self._handle = os.open(temporary, os.O_CREAT | os.O_RDWR, 0o666)
        self._about["locked"], self._about["device"] = False, os.fstat(self._handle).st_dev
        with suppress(OSError):  # a file system without flock: others wait for missed beats
            flock(self._handle, LOCK_EX | LOCK_NB)
            self._about["locked"] = True
        self._write(self._stopping())
        temporary.replace(self._path)

    def _write(self, stopping: bool) -> None:
        self._beats += 1
        about = {**self._about, "beat": self._beats, "stopping": stopping}
        os.pwrite(self._handle, json.dumps(about).encode()[:_SIZE].ljust(_SIZE), 0)
        os.fsync(self._handle)  # over NFS, nobody sees it before

    def _removed(self) -> bool:
        try:
            return os.fstat(self._handle).st_nlink == 0
        except OSError:  # over NFS, a file that is gone is a stale handle
            return True

    def _live(self) -> None:
        beaten, said, failed = monotonic(), False, False
        while not self._closing.wait(min(_LOOK, self._beat)):
            stopping = self._stopping()
            if stopping == said and monotonic() - beaten < self._beat:
                continue
            try:
                if self._removed():  # by hand, or since we slept for a day
                    os.close(self._handle)
                    self._make()
                self._write(stopping)
                beaten, said, failed = monotonic(), stopping, False
            except OSError as error:
                if not failed:
                    self._say(f"cannot say that this run lives: {error}: {self._path}")
                beaten, failed = monotonic(), True  # again at the next beat


@dataclass
class _Seen:
    said: bytes
    looked: float
    missed: int = 0


class Watch:
    """Tells which leases in a folder are dead, by looking at them again and again."""

    def __init__(self, folder: Path, beat: float = BEAT):
        self._folder, self._beat = folder, beat
        self._seen: dict[str, _Seen] = {}

    def dead(self, holder: str) -> bool:
        """Whether the run `holder` is gone. The first look at one of another machine says no.

        It closed its lease, or died before it made one; or its process is dead; or it missed beats.
        A lease that beats again after it was dead is alive.
        """
        path = self._folder / holder
        now = mark(path)
        return not now or _runs_here(path, now) is False or self.unchanged(holder, now)

    def unchanged(self, what: str, said: bytes) -> bool:
        """Whether `what` has said the same in the last MISSED + 1 looks that count."""
        now = monotonic()
        seen = self._seen.setdefault(what, _Seen(said, now))
        if seen.said != said:
            self._seen[what] = _Seen(said, now)
            return False
        if now - seen.looked >= self._beat:
            seen.looked, seen.missed = now, seen.missed + 1
        return seen.missed >= MISSED

    def others(self, own: str = "") -> list[str]:
        """The leases of other runs that are not known to be dead."""
        with suppress(FileNotFoundError):
            names = [name for name in os.listdir(self._folder) if not name.startswith(".")]
            return [name for name in sorted(names) if name != own and not self.dead(name)]
        return []

    def sweep(self, own: Path) -> None:
        """Removes leases that nobody can hold any more; `own` tells the file system's time."""
        now = own.stat().st_mtime
        for name in os.listdir(self._folder):
            path = self._folder / name
            with suppress(OSError):  # somebody else removed it
                if path == own:
                    continue
                old = now - path.stat().st_mtime > _FOREIGN_AGE
                if old or _runs_here(path, path.read_bytes()) is False:
                    path.unlink()


def stopping(path: Path) -> bool:
    """Whether the run with this lease begins nothing more: it is about to stop."""
    return bool(_parsed(mark(path)).get("stopping"))


def runs_here(path: Path) -> bool:
    """Whether the run with this lease is on this machine, and its process known to live."""
    return _runs_here(path, mark(path)) is True


def mark(path: Path) -> bytes:
    """What a lease says now, which changes with each beat; empty when it is gone."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _parsed(mark: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(mark))
    except ValueError:  # read while it was written
        return {}


def _runs_here(path: Path, mark: bytes) -> bool | None:
    """Whether the process of a lease lives; None where its lock cannot tell."""
    known = _parsed(mark)
    if not known.get("locked") or not known["kernel"] or known["kernel"] != _kernel():
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        if os.fstat(handle).st_dev != known["device"]:  # mounted twice, with locks of its own
            return None
        flock(handle, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


def _kernel() -> str:
    """What tells this start of this machine's kernel from all others; empty where unknown."""
    return _BOOT.read_text().strip() if _BOOT.exists() else ""
