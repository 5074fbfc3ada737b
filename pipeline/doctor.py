"""`item doctor`: what is here, what is missing, and what to do about it."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline import index
from pipeline.dag import Dag, Node, load
from pipeline.engine import cores
from pipeline.errors import UserError
from pipeline.store import Store

_PACKAGES = (
    *("torch", "torchvision", "open_clip_torch", "transformers", "spacy", "pyarrow", "duckdb"),
    *("dask", "distributed", "scikit-learn"),
)
_TIGHT_GB = 1.0


@dataclass(frozen=True)
class Check:
    """One finding; `hint` says what to do when it is not ok."""

    ok: bool
    what: str
    found: str
    hint: str = ""


def examine(dag: str | None, overrides: list[str] | None, store: Path) -> list[Check]:
    """All checks; those of a DAG too when one is given. Loads the DAG's models."""
    checks = [_package(name) for name in _PACKAGES]
    checks += [_devices(), *_store(store)]
    if dag is None:
        return checks
    found: list[Dag] = []
    checks.append(_try("DAG", lambda: _load(dag, overrides, found)))
    for graph in found:
        checks.append(_try("corpus", lambda g=graph: f"{len(index.find(g).files)} image files"))
        checks += [
            _try(f"models of {node.name}", lambda n=node: _models(n))
            for node in graph.computed
            if node.stage.models(node.parameters)
        ]
    return checks


def _try(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(True, what, look())
    except UserError as error:
        where = f" ({error.where})" if error.where else ""
        return Check(False, what, f"{error.what}{where}", error.hint or "")


def _load(dag: str, overrides: list[str] | None, found: list[Dag]) -> str:
    found.append(load(dag, overrides))
    return f"{found[0].path}: {len(found[0].computed)} nodes"


def _package(name: str) -> Check:
    try:
        return Check(True, name, version(name))
    except PackageNotFoundError:
        return Check(False, name, "not installed", f"pip install {name}")


def _devices() -> Check:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found = f"{cores()} cores; " + (", ".join(gpus) if gpus else "no GPU that torch can use")
    return Check(True, "devices", found)


def _store(path: Path) -> list[Check]:
    checks = [_try("store", lambda: f"{Store(path).root}")]
    nearest = path.expanduser().resolve()
    while not nearest.exists():
        nearest = nearest.parent
    writable = os.access(nearest, os.W_OK)
    hint = "" if writable else "mend permissions, or give another --store"
    checks.append(Check(writable, "store writable", "yes" if writable else "no", hint))
    free = shutil.disk_usage(nearest).free / 1e9
    hint = "" if free > _TIGHT_GB else "free space, or give another --store"
    checks.append(Check(free > _TIGHT_GB, "free space", f"{free:.1f} GB", hint))
    return checks


def _models(node: Node) -> str:
    """Loads each model of a node, which is the only proof that it can be loaded."""
    specs = node.stage.models(node.parameters)
    for spec in specs:
        spec.load()
    return ", ".join(str(spec.identity()) for spec in specs)
