"""`item models fetch`: every model of a DAG onto this machine, and its revision into the lock."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.dag import lock as locks
from pipeline.dag.graph import Draft
from pipeline.dag.lock import Lock, Locked
from pipeline.errors import UserError
from pipeline.models.parser import parser
from pipeline.models.weights import checkpoints, hub, open_clip_tags, required_files
from pipeline.models.weights.url_download import absent as url_absent
from pipeline.models.weights.url_download import download as url_download
from pipeline.models.weights.url_download import size as url_size
from pipeline.setup.model_needs import Need, needs


@dataclass(frozen=True)
class Model:
    """What became of one model.

    `state` is `fetched`, `present` (nothing was downloaded), `local` (a folder or an installed
    package) or `missing`, with the `problem` and the `hint`. `size` and `downloaded` in bytes.
    """

    name: str
    nodes: tuple[str, ...]
    state: Literal["fetched", "present", "local", "missing"]
    revision: str = ""
    size: int = 0
    licence: str = "not stated"
    where: str = ""
    downloaded: int = 0
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class _Job:
    """A model that the lock does not settle: what to lock, and what of it is not here yet."""

    need: Need
    locked: Locked
    repository: hub.Repository | None
    absent: dict[str, int]
    as_main: bool


def fetch(draft: Draft, say: Callable[[str], None], upgrade: bool = False) -> list[Model]:
    """Fetches what is missing and writes the lock; one `Model` for each that the DAG needs.

    A model keeps the revision that the DAG or the lock names, else the one that the cache has been
    using, else gets the hub's present `main`; with `upgrade` the lock moves to that. One model that
    fails does not stop the others. Raises UserError, before anything is downloaded, when the disk
    has no room or the lock's folder cannot be written.
    """
    _check_writable(draft.lock.path)
    results: dict[int, Model] = {}
    jobs: dict[int, _Job] = {}
    wanted = needs(draft)
    for number, need in enumerate(wanted):
        try:
            settled = _settled(need, draft.lock, upgrade)
            if isinstance(settled, Model):
                results[number] = settled
            else:
                jobs[number] = _job(need, draft.lock, upgrade)
        except UserError as error:
            results[number] = _missing(need, error)
    _check_space({job.need.entry: job.absent for job in jobs.values()})
    lock = draft.lock
    for number, job in jobs.items():
        total = sum(job.absent.values())
        say(f"{job.need.entry}: {total / 1e6:,.1f} MB to fetch")
        try:
            done, lock = _carry_out(job, lock)
        except UserError as error:
            done = _missing(job.need, error)
        results[number] = done
    return [results[number] for number in range(len(wanted))]


def _settled(need: Need, lock: Lock, upgrade: bool) -> Model | None:
    """The model that is here already, or that no hub gives; None when there is work to do."""
    if need.kind in ("folder", "spacy", "file", "plugin"):
        return _local(need)
    locked = lock.models.get(need.entry)
    if upgrade or locked is None or not need.loaders <= set(locked.loaders):
        return None
    if (need.pin or locked.pin) != locked.pin or _absent(locked, need):
        return None
    return _model(need, locked, "present", 0)


def _local(need: Need) -> Model:
    if need.layout == "spacy":
        found = parser.identity(need.model)  # UserError with the command that installs it
        version = str(found["version"])
        return Model(
            need.entry,
            need.nodes,
            "local",
            version,
            licence=parser.licence(need.model),
            where="spaCy",
        )
    if need.kind in ("file", "plugin"):
        need.spec.identity()
        return Model(need.key, need.nodes, "local", where=need.key)
    folder = checkpoints.local_folder(need.model)
    if folder is None or not folder.is_dir():
        raise checkpoints.no_folder(folder or Path(need.model))
    return Model(need.key, need.nodes, "local", where=str(folder))


def _job(need: Need, lock: Lock, upgrade: bool) -> _Job:
    """What is to be locked for a model, as the hub (or open_clip's list) describes it."""
    old = lock.models.get(need.entry)
    kept = need.pin or (old.pin if old and not upgrade else None)
    name, files = need.repository, None
    if need.kind == "tag":
        place = open_clip_tags.source(need.model, need.tag or "")
        if place.url is not None:
            return _url_job(need, place.url, kept)
        if place.repository is None:
            raise UserError(
                f"open_clip has no place to get '{need.tag}' of {need.model} from",
                need.key,
                "choose a tag of `open_clip.list_pretrained()`",
            )
        name, files = place.repository, place.files
    used = None if upgrade else checkpoints.cached_revision(name)
    found = hub.describe(name, kept or used)
    chosen = _chosen(need, found, files)
    sizes = {file: found.files[file] for file in chosen}
    locked = Locked(
        hub=name if need.kind == "tag" else None,
        revision=found.revision,
        licence=found.licence,
        files=sizes,
        loaders=sorted(need.loaders),
    )
    absent = hub.absent(name, found.revision, sizes)
    return _Job(need, locked, found, absent, as_main=not kept and found.revision != used)


def _chosen(need: Need, found: hub.Repository, files: tuple[str, ...] | None) -> list[str]:
    """The files to fetch; UserError when the repository holds no weights of the needed kind."""
    if files is not None:
        chosen = [file for file in files if file in found.files][:1]
    elif need.kind == "open_clip":
        chosen = required_files.open_clip_files(found.files)
    else:
        chosen = required_files.transformers_files(found.files, need.remote_code)
    if not chosen:
        raise UserError(
            f"the repository holds no weights that {need.layout} loads",
            f"{found.name} at {found.revision[:12]}",
            "name a repository with safetensors or PyTorch weights of this kind",
        )
    return chosen


def _url_job(need: Need, url: str, kept: str | None) -> _Job:
    path = open_clip_tags.url_file(url)
    sizes = {path.name: url_size(url)}
    locked = Locked(url=url, sha256=kept, files=sizes, loaders=sorted(need.loaders))
    return _Job(need, locked, None, url_absent(path, sizes, kept), as_main=False)


def _carry_out(job: _Job, lock: Lock) -> tuple[Model, Lock]:
    """Downloads, then writes the lock: a lock never names what is not here."""
    locked = job.locked
    if locked.url is not None:
        digest = url_download(locked.url, open_clip_tags.url_file(locked.url), locked.sha256)
        locked = locked.model_copy(update={"sha256": digest})
    elif job.repository is not None:
        hub.download(job.repository, list(job.absent), job.as_main)
        locked = locked.model_copy(update={"also": _tokenizers(job)})
    lock = replace(lock, models={**lock.models, job.need.entry: _joined(lock, job.need, locked)})
    locks.write(lock)
    total = sum(job.absent.values())
    return _model(job.need, locked, "fetched" if job.absent else "present", total), lock


def _joined(lock: Lock, need: Need, new: Locked) -> Locked:
    """The entry with what another loader of the same revision has in the lock already."""
    old = lock.models.get(need.entry)
    if old is None or old.pin != new.pin:
        return new
    loaders = tuple(sorted({*old.loaders, *new.loaders}))
    files, also = {**old.files, **new.files}, {**old.also, **new.also}
    return new.model_copy(update={"files": files, "loaders": loaders, "also": also})


def _tokenizers(job: _Job) -> dict[str, str]:
    """Other repositories that open_clip takes a tokenizer (or a text tower's shape) from."""
    need, repository = job.need, job.repository
    if need.layout != "open_clip" or repository is None:
        return {}
    folder = checkpoints.snapshot(repository.name, repository.revision)
    own = need.kind == "open_clip" and required_files.has_tokenizer(folder)
    also = {}
    for name in open_clip_tags.other_repositories(
        need.model, folder if need.kind == "open_clip" else None, tokenizer=not own
    ):
        found = hub.describe(name, checkpoints.cached_revision(name))
        files = required_files.settings(found.files)
        hub.download(found, files, as_main=checkpoints.cached_revision(name) is None)
        also[name] = found.revision
    return also


def _absent(locked: Locked, need: Need) -> bool:
    """Whether any file that the lock names is not on this machine."""
    if locked.url is not None:
        path = open_clip_tags.url_file(locked.url)
        return bool(url_absent(path, locked.files, locked.sha256))
    name = locked.hub or need.repository
    others = any(not checkpoints.snapshot(n, r).is_dir() for n, r in locked.also.items())
    return others or bool(hub.absent(name, locked.revision or "", locked.files))


def _model(need: Need, locked: Locked, state: Literal["fetched", "present"], got: int) -> Model:
    if locked.url is not None:
        where = open_clip_tags.url_file(locked.url)
    else:
        where = checkpoints.snapshot(locked.hub or need.repository, locked.revision or "")
    pin = locked.pin or ""
    return Model(
        need.entry, need.nodes, state, pin, locked.size, locked.licence, str(where), downloaded=got
    )


def _missing(need: Need, error: UserError) -> Model:
    where = f" ({error.where})" if error.where else ""
    return Model(
        need.entry, need.nodes, "missing", problem=f"{error.what}{where}", hint=error.hint or ""
    )


def _check_writable(path: Path) -> None:
    if not os.access(path.parent, os.W_OK):
        raise UserError(
            "the lock file cannot be written",
            str(path),
            "give another place, here and in every later command: --set lock=PATH",
        )


def _check_space(absent: dict[str, dict[str, int]]) -> None:
    """UserError when the cache's disk has no room for all that is to be downloaded."""
    folder = hub.cache_folder()
    while not folder.exists():
        folder = folder.parent
    needed = sum(sum(files.values()) for files in absent.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        each = ", ".join(f"{name} {sum(f.values()) / 1e9:.2f} GB" for name, f in absent.items())
        raise UserError(
            f"the models need {needed / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB ({each})",
            str(hub.cache_folder()),
            "free space, or set HF_HOME to a folder on another disk; nothing was downloaded",
        )
