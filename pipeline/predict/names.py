"""Whether a word on a command line is an export: told without any heavy import."""

import os
from pathlib import Path

ABOUT = "export.json"


def is_export(place: str | os.PathLike[str]) -> bool:
    """Whether a path is an export, or is meant to be one: a folder with its file, or a .zip."""
    path = Path(place)
    try:
        return path.suffix.lower() == ".zip" or (path / ABOUT).is_file()
    except (OSError, ValueError):  # no name of a file at all
        return False
