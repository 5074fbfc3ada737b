"""Where this copy of the package lies, and the shipped DAGs, SQL and demo data with it.

They are inside the installed package, or beside it in a checkout.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
BUNDLED = "item:data/"  # how the path of something bundled begins, where it must hold in any copy


def folder(name: str) -> Path:
    """The folder `dags`, `sql` or `data`, wherever this copy of the package keeps it."""
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def portable(root: str) -> str:
    """What stands for a corpus's root in a fingerprint: bundled data is the same in every copy.

    So a store that the installed `item` wrote is the one that Python finds in a clone.
    """
    data = str(folder("data").resolve())
    return f"{BUNDLED}{root[len(data) + 1 :]}" if f"{root}/".startswith(f"{data}/") else root


def here(path: str) -> str:
    """Where in this copy lies what `portable` gave."""
    return str((folder("data") / path.removeprefix(BUNDLED)).resolve())


def importable() -> dict[str, str]:
    """The environment in which a Python process finds this copy, and none in its current folder.

    There may be a `pipeline` of somebody else's.
    """
    found = {"PYTHONSAFEPATH": "1"}
    if not (_PACKAGE / "_shipped").is_dir():  # a checkout is not where Python looks by itself
        known = os.environ.get("PYTHONPATH")
        found["PYTHONPATH"] = os.pathsep.join([str(_PACKAGE.parent), *([known] if known else [])])
    return found


def imported_from_here() -> AbstractContextManager[None]:
    """Has processes that are begun meanwhile import this copy: see `importable`."""
    return environment(importable())


@contextmanager
def environment(changed: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process that are others for a while, whoever sets them meanwhile."""
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def bundled(path: str) -> Path | None:
    """The bundled folder that a path ends like, if it is there: `../data/demo/corpus` in a copy.

    None where the path names nothing of the demo's.
    """
    _, found, below = path.replace("\\", "/").rpartition("data/demo/")
    place = folder("data") / "demo" / below
    return place.resolve() if found and below and place.exists() else None


def where_bundled(path: str) -> str:
    """For hints: where the bundled folder lies that a path ends like; empty for other paths."""
    there = bundled(path)
    return f"; the bundled one is {there}" if there else ""
