"""Loaded into each worker that owns a GPU: the processes that decode images for it start beside it.

They are there when its models are loaded, which takes about as long.
"""

from typing import Any

from pipeline.corpus import decoders


def dask_setup(worker: Any) -> None:
    """Begins; nothing is waited for here."""
    decoders.pool()


def dask_teardown(worker: Any) -> None:
    """Ends those processes: the worker would wait for them."""
    decoders.forget()
