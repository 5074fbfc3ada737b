"""An end to a process that hangs: it ends itself when what it computes gives no sign of life."""

import faulthandler
import os
from pathlib import Path
from threading import Thread
from time import sleep

from pipeline import pulse

_LOOK = 0.5  # seconds between two looks at the signs of life


def ends_process(stall: float | None) -> None:
    """From now on this process ends when a task of it (`pulse.task`) is silent for `stall` seconds.

    None: never. Models may take longer to load. The clock is faulthandler's, which runs while a
    decoder holds the interpreter's lock, as no thread of Python does.
    """
    if stall is not None:
        Thread(target=_watch, args=(stall,), daemon=True).start()


def _watch(stall: float) -> None:
    with Path(os.devnull).open("w") as nowhere:
        marked: dict[str, pulse.Sign] = {}
        while True:
            signs = pulse.signs()
            if not signs:
                faulthandler.cancel_dump_traceback_later()
            elif signs != marked:
                loading = any(loads for _, _, loads in signs.values())
                wait = max(stall, pulse.LOADING_WAIT) if loading else stall
                faulthandler.dump_traceback_later(wait, exit=True, file=nowhere)
            marked = signs
            sleep(_LOOK)
