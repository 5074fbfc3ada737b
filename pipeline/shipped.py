"""Where the shipped DAGs, SQL and demo data lie: inside the installed package, or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `dags`, `sql` or `data`, wherever this copy of the package keeps it."""
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
