"""Where tasks run in this process, a thread beside them says what hangs: nobody else could."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from pipeline import pulse
from pipeline.engine.health import durations
from pipeline.engine.health.guard import Going, unheard

_LOOK = 5.0  # seconds between two looks, at most


@contextmanager
def reporting(
    stall: float | None, say: Callable[[str], None], going: Going = unheard
) -> Iterator[None]:
    """Within it, each silence of `stall` seconds (None: none) is said once, with where it is.

    `going` is told how far the task at hand is.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(stall, say, going, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(
    stall: float | None, say: Callable[[str], None], going: Going, over: threading.Event
) -> None:
    seen: dict[str, int] = {}
    changed: dict[str, float] = {}
    said: set[str] = set()
    while not over.wait(min(_LOOK, (stall or _LOOK) / 4)):
        signs = pulse.signs()
        done: Counter[str] = Counter()
        for counts in pulse.counts().values():
            done.update(counts)
        going(done, {node for _, node, loads in signs.values() if loads})
        for key in set(seen) - set(signs):
            del seen[key], changed[key]
            said.discard(key)
        for key, (beats, node, _) in signs.items():
            if seen.get(key) != beats:
                seen[key], changed[key] = beats, monotonic()
                said.discard(key)
            elif stall and key not in said and monotonic() - changed[key] > stall:
                said.add(key)
                where = pulse.stack(key) or "between two steps"
                say(
                    f"{node}: {key}: no sign of life for {durations.words(stall)}, at {where}; "
                    "a run in one process cannot end it (Ctrl-C; without --inline it could)"
                )
