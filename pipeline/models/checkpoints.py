"""Where a model's files come from, and what identifies them, without importing any framework."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.models.files import hash_folder

OUT_OF_REACH = "it is not on this machine, and the Hugging Face hub does not give it"
_PATIENCE = 5.0  # seconds that the hub has to answer


def local_folder(name: str) -> Path | None:
    """The folder that a model name stands for (`local-dir:PATH`, or a path), else None.

    A bare `a/b` is a name on the Hugging Face hub, as it is for the libraries that load it.
    """
    path = name.removeprefix("local-dir:")
    if path != name or path.startswith(("./", "../", "/", "~")):
        return Path(path).expanduser()
    return None


def identity(name: str, config_file: str) -> dict[str, Any]:
    """`{"local": hash of the files}`, or `{"hub": name, "revision": commit}`.

    `config_file` is the small file that every model of the kind has; it is what gets fetched when
    a hub model is not on disk yet, so that its commit is known before anything is computed with
    it. The revision is None when it can be neither found nor fetched; loading then says so.
    """
    folder = local_folder(name)
    if folder is None:
        repository = name.removeprefix("hf-hub:")
        return {"hub": repository, "revision": hub_revision(repository, config_file)}
    if not folder.is_dir():
        raise UserError(
            "there is no such model folder",
            str(folder),
            "paths in a DAG file are relative to that file; a name on the Hugging Face hub has no "
            "leading ./, / or local-dir:",
        )
    return {"local": _hash(folder, _stamp(folder))}


def hub_revision(repository: str, config_file: str) -> str | None:
    """The commit that the local Hugging Face cache holds as `main`; asks the hub when it has none.

    None when the repository is not in the cache and the hub does not give it.
    """
    from huggingface_hub import hf_hub_download

    reference = _reference(repository)
    if not reference.is_file() and within_reach(repository):
        try:
            hf_hub_download(repository, config_file)  # writes the reference
        except Exception:  # no such file, no permission, network lost: each by its own class
            return None
    return reference.read_text().strip() if reference.is_file() else None


def within_reach(repository: str) -> bool:
    """Whether a repository is in the local Hugging Face cache, or else the hub answers for it.

    Asked first because downloads retry for minutes where there is no network. HF_HUB_OFFLINE=1
    counts as out of reach.
    """
    from huggingface_hub import HfApi

    if _reference(repository).is_file():
        return True
    try:
        HfApi().model_info(repository, timeout=_PATIENCE)
    except Exception:  # the HTTP library, and with it the class, changes with the hub's versions
        return False
    return True


def _reference(repository: str) -> Path:
    from huggingface_hub import constants

    folder = "models--" + repository.replace("/", "--")
    return Path(constants.HF_HUB_CACHE) / folder / "refs" / "main"


def not_loadable(kind: str, name: str, problem: Exception | str) -> UserError:
    """The message for a model that could not be loaded: why, looked for where, and what next."""
    reason = str(problem).strip().splitlines() or [type(problem).__name__]
    what = f"the {kind} '{name}' could not be loaded: {reason[0][:300]}"
    folder = local_folder(name)
    if folder is not None:
        return UserError(
            what, str(folder), "the folder must hold the model's published files, all of them"
        )
    from huggingface_hub import constants

    return UserError(
        what,
        f"the Hugging Face cache {constants.HF_HUB_CACHE}",
        "give a folder (`local-dir:PATH`), or run once where there is a network and copy that "
        "cache: set HF_HOME to it, and HF_HUB_OFFLINE=1",
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
