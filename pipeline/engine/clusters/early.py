"""Loaded into each worker that owns a GPU: what its first part would wait for begins at once.

While workers start and files are listed, the processes that decode images start beside it, and what
models are made of is imported.
"""

from typing import Any

from pipeline import models
from pipeline.corpus import decoders


def dask_setup(worker: Any) -> None:
    """Begins both; neither is waited for here."""
    decoders.pool()
    models.begin()


def dask_teardown(worker: Any) -> None:
    """Ends those processes: the worker would wait for them."""
    decoders.forget()
