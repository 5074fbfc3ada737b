"""One stage in a process of its own, which may crash or hang without harm to anybody else."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pyarrow as pa
import pyarrow.feather as feather

from pipeline import pulse
from pipeline.corpus import decoders
from pipeline.engine.health import durations
from pipeline.errors import UserError
from pipeline.plugins import offered
from pipeline.shipped import importable
from pipeline.spec import Parameters, Stage
from pipeline.stages.registry import get_stage

LEAST_WAIT = 60.0  # seconds without a sign of life: no forecast is taken to mean less
TIMES_FORECAST = 10  # and so many times what its images should take, as long as that is no more
_LOOK = 0.1  # seconds between two looks at a child
_REPORT = 0.5  # seconds between two signs that a child gives

_KEY = "child"  # of the only task of the child
_PULSE, _RESULT, _PARAMETERS = "pulse", "result", "parameters.json"  # files in the child's folder


class Died(Exception):
    """A child process ended without a result.

    `transient`: it was killed, as systems do that run short of memory; what crashes by itself, on
    one image alone, will do so again.
    """

    transient = False


class TookTooLong(Died):
    """A child process gave no sign of life for so long that it was ended."""


@dataclass(frozen=True)
class Patience:
    """How long children may be silent: `stall` seconds (None: for ever), or less by `forecast`.

    `forecast` is how many seconds a whole part should take, None when that is not known. Halving
    would cost the stall time at each of its steps; what remains of a part is given less.
    """

    stall: float | None = None
    forecast: float | None = None

    @property
    def loading(self) -> float | None:
        """For a child that still loads its models: that is no image's fault."""
        return None if self.stall is None else max(self.stall, pulse.LOADING_WAIT)

    def seconds(self, share: float) -> float | None:
        """For a child that computes this share of a part (0 to 1), its models being loaded."""
        if self.stall is None or self.forecast is None:
            return self.stall
        return min(self.stall, max(LEAST_WAIT, TIMES_FORECAST * self.forecast * share))


def run(
    stage: Stage,
    parameters: Parameters,
    inputs: Mapping[str, pa.Table],
    patience: Patience,
    share: float,
) -> pa.Table:
    """The stage's table of `inputs`, a `share` of a part. Died, or TookTooLong, without one.

    UserError when there is no room for the tables that the two processes exchange.
    """
    try:
        room = tempfile.TemporaryDirectory(prefix="item-", ignore_cleanup_errors=True)
        with room as name:
            folder = Path(name)
            for table_name, table in inputs.items():
                path = folder / f"{table_name}.in"
                feather.write_feather(table, str(path), compression="uncompressed")
            (folder / _PARAMETERS).write_text(parameters.model_dump_json())
            with (folder / "words").open("w+b") as words:
                command = [sys.executable, "-m", __name__, stage.name, name, str(os.getpid())]
                command += offered.places()
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    start_new_session=True,  # so that whatever it starts ends with it
                    # threads decode: few images
                    env={**os.environ, **importable(), decoders.COUNT: "0"},
                )
                try:
                    _await(process, folder, patience.loading, patience.seconds(share))
                finally:
                    _end(process)
                words.seek(0)
                said = words.read().decode(errors="replace").strip().splitlines()
            if process.returncode != 0 or not (folder / _RESULT).exists():
                last = said[-1] if said else "no message"
                if os.strerror(errno.ENOSPC) in last:  # no image is to blame for it
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
                died = Died(
                    f"the process ended with status {process.returncode} on this image: {last}"
                )
                died.transient = process.returncode == -signal.SIGKILL
                raise died
            return feather.read_table(folder / _RESULT, memory_map=False)
    except OSError as error:
        raise UserError(
            f"a stage could not be run in a process of its own: {error}",
            tempfile.gettempdir(),
            "make room there, or let TMPDIR name another folder",
        ) from error


def _await(
    process: subprocess.Popen[bytes], folder: Path, loading: float | None, computing: float | None
) -> None:
    """Until the child has ended; TookTooLong when it is silent for `loading` or `computing` s."""
    marked, last = "", monotonic()
    while process.poll() is None:
        sleep(_LOOK)
        pulse.beat()  # this process is well: it waits, and knows for how long
        with suppress(FileNotFoundError):
            mark = (folder / _PULSE).read_text()
            if mark and mark != marked:  # it is empty while it is being written
                marked, last = mark, monotonic()
        limit = computing if marked else loading
        if limit is not None and monotonic() - last > limit:
            what = "without a sign of life on this image" if marked else "to load its models"
            raise TookTooLong(f"took longer than {durations.words(limit)} {what}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the child, and what it may have started, if any of that is left."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(stage_name: str, folder: Path, parent: int, plugins: Sequence[str]) -> None:
    """The child: runs one stage on the tables in `folder` and leaves `result` there."""
    threading.Thread(target=_report, args=(folder, parent), daemon=True).start()
    from pipeline import models

    offered.use(plugins)
    stage = get_stage(stage_name)
    parameters = stage.parameters.model_validate_json((folder / _PARAMETERS).read_text())
    inputs = {p.stem: feather.read_table(p, memory_map=False) for p in folder.glob("*.in")}
    loaded = [models.get(spec) for spec in stage.models(parameters)]
    with pulse.task(_KEY):
        pulse.node(stage_name)
        result = stage.run(inputs, parameters, loaded)
    feather.write_feather(result, str(folder / _RESULT), compression="uncompressed")


def _report(folder: Path, parent: int) -> None:
    """Leaves signs of life in `folder`; ends this process when its parent is gone."""
    while True:
        if os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)
        for beats, *_ in pulse.signs().values():
            with suppress(OSError):  # without a sign the parent ends this process, as it should
                (folder / _PULSE).write_text(str(beats))
        sleep(_REPORT)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
