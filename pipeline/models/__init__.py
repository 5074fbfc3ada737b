"""Models: thin adapters over open_clip, transformers and spaCy, loaded once per process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from pipeline.errors import UserError
from pipeline.spec import ModelSpec

_loaded: dict[ModelSpec, tuple[dict[str, Any], Any]] = {}
_lock = Lock()


def get(spec: ModelSpec) -> Any:
    """The adapter of `spec`, loaded at most once per process and kept.

    Equal specs (same class, name, precision, device) share one adapter, however many nodes name
    them. When the files behind a name have changed since, the model is loaded again: a worker
    that lives for weeks must not answer with yesterday's weights. Raises UserError when the model
    cannot be loaded, or changes while it is being loaded.
    """
    with _lock:
        identity = spec.identity()
        known = _loaded.get(spec)
        if known is None or known[0] != identity:
            if _loaded.pop(spec, None):  # frees the old weights before the new ones are read
                known = None
                gc.unfreeze()  # those in cycles too, in time
            with _for_good():
                adapter = spec.load()
            now = spec.identity()
            if now != identity:
                raise UserError(
                    "a model changed while it was being loaded",
                    f"{identity} became {now}",
                    "run again; set HF_HUB_OFFLINE=1 to stay with the copy of a hub model on disk",
                )
            known = _loaded[spec] = (identity, adapter)
        return known[1]


@contextmanager
def _for_good() -> Iterator[None]:
    """What is made meanwhile stays, libraries above all: it is never gone through for garbage.

    That took a sixth of the CPU time of a short run.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def forget() -> None:
    """Drops all loaded models of this process."""
    with _lock:
        _loaded.clear()
        gc.unfreeze()
