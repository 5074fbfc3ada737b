"""Where a model's files come from, and what identifies them, without importing any framework."""

import json
import re
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

from pipeline.errors import UserError
from pipeline.models.weights.hashing import hash_folder
from pipeline.shipped import where_bundled

OUT_OF_REACH = "it is not on this machine, and the Hugging Face hub does not give it"
_PATIENCE = 5.0  # seconds that the hub has to answer
_MEMORY = 60.0  # seconds for which the hub's answer is believed
_PIN = re.compile(r"(?P<name>.+)@(?P<pin>[0-9a-f]{40}|[0-9a-f]{64})")
_asked: dict[str, tuple[float, bool]] = {}  # repository (or "" for the hub) -> when, answered


def local_folder(name: str) -> Path | None:
    """The folder that a model name stands for (`local-dir:PATH`, or a path), else None.

    A bare `a/b` is a name on the Hugging Face hub, as it is for the libraries that load it.
    """
    path = name.removeprefix("local-dir:")
    if path != name or path.startswith(("./", "../", "/", "~")):
        return Path(path).expanduser()
    return None


def split_pin(name: str) -> tuple[str, str | None]:
    """`MODEL@PIN` as (MODEL, PIN); (name, None) when nothing is pinned, and for a folder.

    A pin is a commit of 40 hex digits, or the SHA-256 of a weights file (64): lock files put it
    there, and so may a DAG. UserError for a branch or a tag, which move.
    """
    if "@" not in name or local_folder(name) is not None:
        return name, None
    match = _PIN.fullmatch(name)
    if match is None:
        raise UserError(
            f"'{name}' does not end in a revision",
            hint="behind the @ stands a full commit of the hub, 40 hex digits; branches and tags "
            "move (`item models fetch` finds the commit and locks it)",
        )
    return match["name"], match["pin"]


def repository(name: str) -> str:
    """The hub repository of a model name: without `hf-hub:` and without its pin."""
    return split_pin(name)[0].removeprefix("hf-hub:")


def identity(name: str, config_file: str) -> dict[str, Any]:
    """`{"local": hash of the files}`, or `{"hub": name, "revision": commit}`.

    The commit is the one behind the name's `@`, which a lock puts there, else the cache's.
    `config_file` is the small file that every model of the kind has; it is what gets fetched when
    a hub model is not on disk yet, so that its commit is known before anything is computed with
    it. The revision is None when it can be neither found nor fetched; loading then says so.
    """
    folder = local_folder(name)
    if folder is None:
        hub = repository(name)
        return {"hub": hub, "revision": split_pin(name)[1] or hub_revision(hub, config_file)}
    if not folder.is_dir():
        raise no_folder(folder)
    return {"local": _hash(folder, _stamp(folder))}


def located(kind: str, name: str, config_file: str) -> tuple[str, str]:
    """What `from_pretrained` is to be given: (folder or repository, revision).

    A folder stays one ("main" means nothing to it). A pinned hub model whose files are in the cache
    is its snapshot's folder, so that loading asks no network, with or without HF_HUB_OFFLINE. Any
    other hub model is its repository at the revision of its identity. `kind` is for the message
    of the UserError that a model out of reach raises.
    """
    folder = local_folder(name)
    if folder is not None:
        return str(folder), "main"
    hub, pin = repository(name), split_pin(name)[1]
    if pin is not None:
        cached = snapshot(hub, pin)
        if (cached / config_file).is_file() and has_weights(cached):
            return str(cached), "main"
        if not hub_answers(hub):
            raise not_loadable(kind, name, f"its locked revision {pin[:12]} is not on this machine")
        return hub, pin
    revision = hub_revision(hub, config_file)
    if revision is None:
        raise not_loadable(kind, name, OUT_OF_REACH)
    return hub, revision


def hub_revision(repository: str, config_file: str) -> str | None:
    """The commit that the local Hugging Face cache holds as `main`; asks the hub when it has none.

    None when the repository is not in the cache and the hub does not give it.
    """
    from huggingface_hub import hf_hub_download

    reference = _reference(repository)
    if not reference.is_file() and hub_answers(repository):
        try:
            hf_hub_download(repository, config_file)  # writes the reference
        except Exception:  # no such file, no permission, network lost: each by its own class
            return None
    return cached_revision(repository)


def cached_revision(repository: str) -> str | None:
    """The commit that the local Hugging Face cache holds as `main`; never asks the hub."""
    reference = _reference(repository)
    return reference.read_text().strip() if reference.is_file() else None


def within_reach(repository: str) -> bool:
    """Whether a repository is in the local Hugging Face cache, or else the hub answers for it."""
    return _reference(repository).is_file() or hub_answers(repository)


def hub_answers(repository: str) -> bool:
    """Whether the hub knows a repository and gives it; asked at most once a minute.

    Asked first because downloads retry for minutes where there is no network; when the hub cannot
    be reached at all, no other repository is asked for either. HF_HUB_OFFLINE=1 is no.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return False
    now = monotonic()
    for known in ("", repository):
        when, answer = _asked.get(known, (float("-inf"), False))
        if now - when < _MEMORY and (known or not answer):
            return answer
    try:
        HfApi().model_info(repository, timeout=_PATIENCE)
        _asked[repository] = (now, True)
    except HfHubHTTPError:  # it answered: no such repository, or no permission
        _asked[repository] = (now, False)
    except Exception:  # the HTTP library, and with it the class, changes with the hub's versions
        _asked[""] = (now, False)
        return False
    return _asked[repository][1]


def snapshot(repository: str, revision: str) -> Path:
    """The folder of one revision in the local Hugging Face cache, whether it exists or not."""
    return _cached(repository) / "snapshots" / revision


def has_weights(folder: Path) -> bool:
    """Whether a folder holds a complete set of weights: where there are shards, all of them."""
    return any(all((folder / name).is_file() for name in names) for names in _weight_sets(folder))


def _weight_sets(folder: Path) -> list[set[str]]:
    """Sets of files, each of which would be a model's weights."""
    sets = [{path.name} for suffix in ("safetensors", "bin") for path in folder.glob(f"*.{suffix}")]
    sets = [names for names in sets if not any("-of-" in name for name in names)]
    for index in folder.glob("*.index.json"):
        try:
            shards = json.loads(index.read_text()).get("weight_map", {}).values()
        except (ValueError, AttributeError):
            continue  # a damaged list of shards stands for no weights
        sets.append({index.name, *shards})
    return sets


def _reference(repository: str) -> Path:
    return _cached(repository) / "refs" / "main"


def _cached(repository: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / ("models--" + repository.replace("/", "--"))


def not_loadable(kind: str, name: str, problem: Exception | str) -> UserError:
    """The message for a model that could not be loaded: why, looked for where, and what next."""
    reason = str(problem).strip().splitlines() or [type(problem).__name__]
    folder = local_folder(name)
    shown = name if folder is not None else split_pin(name)[0]
    what = f"the {kind} '{shown}' could not be loaded: {reason[0][:300]}"
    if folder is not None:
        return UserError(
            what, str(folder), "the folder must hold the model's published files, all of them"
        )
    from huggingface_hub import constants

    return UserError(
        what,
        f"the Hugging Face cache {constants.HF_HUB_CACHE}",
        "run `item models fetch DAG` where there is a network (and copy that cache: set HF_HOME "
        "to it, and HF_HUB_OFFLINE=1), or give a folder: `local-dir:PATH`",
    )


def no_folder(folder: Path) -> UserError:
    """The message for a model's folder that is not there."""
    nearest = next(one for one in folder.absolute().parents if one.is_dir())
    return UserError(
        "there is no such model folder",
        f"{folder} ({nearest} is there)",
        "paths in a DAG file are relative to that file, also in a copy of it; a name on the "
        f"Hugging Face hub has no ./, / or local-dir: in front{where_bundled(str(folder))}",
    )


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files below `folder`: changes whenever the content does."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            facts = file.stat()
            found.append((file.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns))
    return tuple(found)


@lru_cache(maxsize=64)
def _hash(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    # one identity is asked for per part: gigabytes of weights are read once per process only
    return hash_folder(folder)
