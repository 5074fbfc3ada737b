"""Where the shipped DAGs, SQL and demo data lie: inside the installed package, or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `dags`, `sql` or `data`, wherever this copy of the package keeps it."""
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


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
