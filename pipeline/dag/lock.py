"""The lock file: which revision of each hub model a DAG's fingerprints name.

`item models fetch` writes it. A model that it names is known by that revision, loaded from it and
from no other, whatever the hub's `main` has become. It lies beside the DAG file; the lock of a
shipped DAG, whose folder is the package's, lies in the current folder, as `store/` does. `lock:` in
the DAG file, or `--set lock=PATH`, names another place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import yaml
from pydantic import Field, ValidationError

from pipeline.errors import UserError
from pipeline.models.weights.checkpoints import local_folder
from pipeline.shipped import folder
from pipeline.spec import Parameters

SUFFIX = ".lock"
_HEADER = """\
# Written by `item models fetch`; keep it with the DAG file. Fingerprints name these revisions:
# the same lock, and only the same lock, finds the same cache again.
"""


class Locked(Parameters):
    """One model as it was fetched: a commit of a hub repository, or a file by its content.

    `files` are the fetched files with their sizes in bytes, and `loaders` what they were fetched
    for: transformers, open_clip, and `code` where Python files are among them. `also` are other
    repositories that the model reads (a tokenizer's), each with its commit.
    """

    hub: str | None = None
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    url: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    licence: str = "not stated"
    files: dict[str, int]
    loaders: tuple[str, ...] = ()
    also: dict[str, str] = Field(default_factory=dict)

    @property
    def pin(self) -> str | None:
        """What stands behind the `@` of a pinned model name: a commit, or a file's SHA-256."""
        return self.revision or self.sha256

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


class _File(Parameters):
    format: Literal[1]
    models: dict[str, Locked]


@dataclass(frozen=True)
class Lock:
    """The lock of a DAG: where it lies (or would lie), and what it names; empty without a file."""

    path: Path
    models: Mapping[str, Locked] = field(default_factory=dict)


def key(model: str, pretrained: str | None = None) -> str | None:
    """The name of a model in a lock; None for a folder, which is known by its content.

    A hub model's repository (`hf-hub:` or not), or `NAME:TAG` for an open_clip model with a tag.
    """
    if local_folder(model) is not None:
        return None
    return f"{model}:{pretrained}" if pretrained else model.removeprefix("hf-hub:")


def place(dag: Path, given: str | None) -> Path:
    """Where the lock of the DAG file `dag` lies; `given` is its own `lock:`."""
    if given is not None:
        return Path(given)
    shipped = dag.resolve().parent == folder("dags").resolve()
    return (Path.cwd() if shipped else dag.resolve().parent) / f"{dag.stem}{SUFFIX}"


def read(path: Path, expected: bool = False) -> Lock:
    """The lock at `path`; an empty one when there is no such file, unless it is `expected`.

    UserError for a file that is no lock: a damaged one never counts as none.
    """
    if not path.is_file():
        if expected:
            raise UserError(
                "there is no such lock file",
                str(path),
                "write it with `item models fetch DAG`, or correct `lock:`",
            )
        return Lock(path)
    try:
        content = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise UserError(
            f"the lock file cannot be used: {str(error).splitlines()[0]}",
            str(path),
            "get it again from where the DAG came from; `item models fetch` writes a new one "
            "when it is removed, which may name other revisions",
        ) from None
    return Lock(path, content.models)


def write(lock: Lock) -> None:
    """Writes a lock in one step, sorted by name; UserError when its folder cannot be written."""
    models = {
        name: {**locked.model_dump(mode="json", exclude_defaults=True), "licence": locked.licence}
        for name, locked in lock.models.items()
    }
    text = yaml.safe_dump({"format": 1, "models": models}, sort_keys=True, width=100)
    temporary = lock.path.with_name(f".tmp-{uuid4().hex[:12]}-{lock.path.name}")
    try:
        temporary.write_text(_HEADER + text, encoding="utf-8")
        temporary.replace(lock.path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"the lock file cannot be written: {error.strerror or error}",
            str(lock.path),
            "give another place, here and in every later command: --set lock=PATH",
        ) from None


def pinned(lock: Lock, raw: Any) -> Any:
    """`raw` (a node's mapping) with every model that the lock names written as `MODEL@REVISION`."""
    if isinstance(raw, list):
        return [pinned(lock, value) for value in raw]
    if not isinstance(raw, dict):
        return raw
    out = {name: pinned(lock, value) for name, value in raw.items()}
    model, tag = raw.get("model"), raw.get("pretrained")
    if isinstance(model, str) and "@" not in model and (tag is None or isinstance(tag, str)):
        name = key(model, tag)
        locked = lock.models.get(name) if name else None
        if locked is not None and locked.pin:
            out["model"] = f"{model}@{locked.pin}"
    return out
