"""Identity of local model files: a hash of what they contain, wherever they lie."""

import hashlib
from pathlib import Path

from pipeline.errors import UserError

_CHUNK = 1 << 20  # bytes read at a time
_IGNORED = {"README.md", "__pycache__"}


def hash_folder(path: str | Path) -> str:
    """SHA-256 (hex) over the relative names and the contents of all files below `path`.

    The same files give the same hash in any place and on any platform. `README.md`, hidden files
    and folders and `__pycache__` do not count, because they cannot change what a model computes.
    UserError when `path` is no folder or holds no files.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError("model folder not found", str(root), "check the path in the DAG file")
    names = sorted(
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if file.is_file() and not _ignored(file.relative_to(root))
    )
    if not names:
        raise UserError("the model folder is empty", str(root), "check the path in the DAG file")
    total = hashlib.sha256()
    for name in names:
        # lengths in front, so that no two different folders give the same stream of bytes
        encoded = name.encode()
        total.update(len(encoded).to_bytes(8, "big") + encoded + _hash_file(root / name))
    return total.hexdigest()


def _ignored(relative: Path) -> bool:
    return any(part in _IGNORED or part.startswith(".") for part in relative.parts)


def _hash_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()
