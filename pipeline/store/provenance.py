"""By what a part was made: the versions of the libraries that may have shaped it."""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.version import __version__

_AND = " | "
_SHAPING = (
    *("torch", "torchvision", "transformers", "open_clip_torch", "spacy"),
    *("pillow", "numpy", "pyarrow"),
)


@cache
def libraries() -> str:
    """`item 0.1.0, torch 2.14.1, …`: of this process, none of them imported."""
    found = [f"item {__version__}"]
    for name in _SHAPING:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)


@cache
def code() -> str:
    """8 hex digits over the source of this package: two checkouts may call themselves the same."""
    digest = sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def together(*texts: str) -> str:
    """What a part says that was made by several: each of the texts once."""
    each = (one for text in texts for one in text.split(_AND))
    return _AND.join(dict.fromkeys(filter(None, each)))


def differences(texts: Iterable[str]) -> str:
    """Where texts of `libraries` differ: `pillow 11.3 and 12.0, torch …`; empty if nowhere."""
    versions: dict[str, dict[str, None]] = {}
    for text in sorted({one for some in texts for one in some.split(_AND)}):
        for one in filter(None, text.split(", ")):
            name, _, number = one.partition(" ")
            versions.setdefault(name, {})[number] = None
    several = {name: list(numbers) for name, numbers in versions.items() if len(numbers) > 1}
    return ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in several.items())
