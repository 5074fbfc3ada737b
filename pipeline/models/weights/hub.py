"""What the Hugging Face hub says of a repository, and files of it brought into the local cache."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.models.weights import checkpoints

_PATIENCE = 10.0  # seconds that the hub has to describe a repository


@dataclass(frozen=True)
class Repository:
    """A repository at one commit: its files with sizes in bytes, and its card's licence."""

    name: str
    revision: str
    files: dict[str, int]
    licence: str


def describe(name: str, revision: str | None) -> Repository:
    """The repository `name` at a commit, or at the hub's `main`.

    UserError when the hub cannot be reached, does not have it, or does not give it to this user.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("the hub is switched off", "HF_HUB_OFFLINE=1", "unset it to fetch models")
    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=_PATIENCE)
    except Exception as error:  # the HTTP library, and with it the class, changes with versions
        raise _explained(name, revision, error) from error
    card = info.card_data or {}
    licence = card.get("license_name") or card.get("license")
    licence = ", ".join(licence) if isinstance(licence, list) else licence
    files = {file.rfilename: int(file.size or 0) for file in info.siblings or []}
    return Repository(name, str(info.sha), files, str(licence or "not stated"))


def absent(name: str, revision: str, files: dict[str, int]) -> dict[str, int]:
    """Those of `files` (with sizes) that the cache's snapshot lacks, or has in another size."""
    folder = checkpoints.snapshot(name, revision)
    lacking = {}
    for file, size in files.items():
        path = folder / file
        if not path.is_file() or path.stat().st_size != size:
            lacking[file] = size
    return lacking


def download(found: Repository, files: list[str], as_main: bool) -> None:
    """Brings `files` of a repository's commit into the cache; what is there is not fetched again.

    `as_main` also makes the commit what the cache calls `main`, for libraries that ask for no
    revision. A connection that breaks is taken up where it broke; after a killed run whole files
    are kept. UserError when the hub gives up.
    """
    from huggingface_hub import hf_hub_download

    try:
        for file in files:
            hf_hub_download(found.name, file, revision=found.revision)
    except Exception as error:  # each failure has its own class
        raise _explained(found.name, found.revision, error) from error
    if as_main:
        reference = checkpoints.snapshot(found.name, "x").parent.parent / "refs" / "main"
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(found.revision)


def cache_folder() -> Path:
    """The Hugging Face cache of this machine (HF_HUB_CACHE, or `hub` in HF_HOME)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _explained(name: str, revision: str | None, error: Exception) -> UserError:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{constants.ENDPOINT}/{name}"
    if isinstance(error, GatedRepoError):
        return UserError(
            "the repository is gated", where, "accept its terms there, then `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return UserError(
            f"the hub has no revision {revision} of it",
            where,
            "correct the revision, or fetch with --upgrade to lock the present one",
        )
    if isinstance(error, RepositoryNotFoundError):
        return UserError(
            "the hub has no such repository",
            where,
            "correct the name; if it is private: `hf auth login`",
        )
    reason = str(error).strip().splitlines() or [type(error).__name__]
    refused = isinstance(error, HfHubHTTPError)
    return UserError(
        f"the hub {'refused' if refused else 'cannot be reached'}: {reason[0][:200]}",
        where,
        "run the same command again: what is here is kept",
    )
