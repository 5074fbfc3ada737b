"""What `item doctor` can say of a DAG's models without loading them, and by loading them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.dag.graph import Draft
from pipeline.dag.lock import Locked
from pipeline.errors import UserError
from pipeline.models import device, precision
from pipeline.models.parser import parser
from pipeline.models.weights import checkpoints, hub, open_clip_tags, required_files
from pipeline.setup.finding import Check, attempt
from pipeline.setup.model_needs import Need, needs, unpinned_lines


def check_models(draft: Draft, fetch: str, load: bool) -> list[Check]:
    """A check of each model's files, of each node's device, of the pins; and of loading, if so.

    `fetch` is the command that gets a missing model. What lacks a file or a device is not loaded.
    """
    wanted = needs(draft)
    checks = [_files(need, draft, fetch) for need in wanted]
    broken = {n for need, c in zip(wanted, checks, strict=True) if not c.ok for n in need.nodes}
    for name, spec in _specs(draft):
        found = attempt(f"device of {name}", lambda s=spec: _device(s))
        checks.append(found)
        broken |= set() if found.ok else {name}
    checks += [
        Check(True, "revision", line, f"`{fetch}` pins it") for line in unpinned_lines(draft)
    ]
    quick: dict[str, list[str]] = {}
    for name, spec in _specs(draft):
        if (used := _quicker(spec)) and name not in quick.setdefault(used, []):
            quick[used].append(name)
    for used, names in quick.items():
        hint = f"`precision: auto` is {used} here, and several times as fast"
        checks.append(Check(True, "precision", f"fp32 in {', '.join(names)}", hint))
    return checks + (_loaded(draft, broken) if load else [])


def _specs(draft: Draft) -> Iterator[tuple[str, Any]]:
    for name, (stage, _, parameters) in draft.nodes.items():
        for spec in stage.models(parameters):
            yield name, spec


def _device(spec: Any) -> str:
    """Device and precision, in words; UserError for a device that is not there."""
    import torch

    if not hasattr(spec, "device"):
        return "cpu"
    found = device.resolve(spec.device)
    used = precision.resolve(spec.precision, found)
    chosen = " (auto)" if spec.precision == "auto" else ""
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else "no GPU is used"
    return f"{found} ({name}), {used}{chosen}"


def _quicker(spec: Any) -> str | None:
    """The precision that the hardware is made for, where a model is to compute in fp32."""
    if getattr(spec, "precision", None) != "fp32":
        return None
    try:
        used = precision.resolve("auto", device.resolve(spec.device))
    except UserError:  # there is no such device: the device's own check says so
        return None
    return None if used == "fp32" else used


def _loaded(draft: Draft, broken: set[str]) -> list[Check]:
    """Loads each distinct model that nodes not `broken` use: the only proof that it can be."""
    nodes: dict[Any, list[str]] = {}
    for name, spec in _specs(draft):
        nodes.setdefault(spec, []).append(name)
    return [
        attempt(f"loading for {', '.join(names)}", lambda s=spec: _load(s))
        for spec, names in nodes.items()
        if not broken.issuperset(names)
    ]


def _load(spec: Any) -> str:
    """Loads it; what its fingerprint knows it by, in words."""
    spec.load()
    return ", ".join(f"{name} {value}" for name, value in spec.identity().items())


def _files(need: Need, draft: Draft, fetch: str) -> Check:
    """Whether all files of a model are here: by the lock's list, else by what its kind needs."""
    what = f"model {need.key}"
    try:
        locked = draft.lock.models.get(need.entry) or draft.lock.models.get(need.key)
        found, note = _found(need, locked)
        return Check(True, what, f"{found} (for {', '.join(need.nodes)})", note)
    except UserError as error:
        where = f" ({error.where})" if error.where else ""
        local = need.kind in ("spacy", "folder", "file", "plugin")
        hint = (error.hint or "") if local else f"`{fetch}` gets it"
        return Check(False, what, f"{error.what}{where}; {', '.join(need.nodes)} need it", hint)


def _found(need: Need, locked: Locked | None) -> tuple[str, str]:
    """(what is here, a note); UserError when the model or a file of it is not."""
    if need.layout == "spacy":
        about = parser.identity(need.model)
        return f"{about['model']} {about['version']}", ""
    if need.kind in ("file", "plugin"):
        need.spec.identity()
        return "is there", ""
    if need.kind == "folder":
        return _folder(need, Path(need.key))
    if locked is not None and locked.url is not None:
        return _at_url(locked)
    name, files = need.repository, None
    if need.kind == "tag":
        place = open_clip_tags.source(need.model, need.tag or "")
        if place.url is not None:
            path = open_clip_tags.url_file(place.url)
            return _present(path.parent, [path.name], str(path))
        if place.repository is None:
            raise UserError(f"open_clip has no weights '{need.tag}' of {need.model}", need.key)
        name, files = place.repository, place.files
    revision = need.pin or checkpoints.cached_revision(name)
    if revision is None:
        raise UserError("it is not on this machine", str(hub.cache_folder()))
    folder = checkpoints.snapshot(name, revision)
    if not folder.is_dir():
        raise UserError(f"its revision {revision[:12]} is not on this machine", str(folder))
    if locked is not None and locked.revision == revision:
        lacking = sorted(hub.absent(name, revision, locked.files))
        lacking += [n for n, r in locked.also.items() if not checkpoints.snapshot(n, r).is_dir()]
    elif files is not None:
        lacking = [] if any((folder / f).is_file() for f in files) else [" or ".join(files)]
    else:
        lacking = required_files.lacking(folder, need.layout)
    if lacking:
        raise UserError(f"revision {revision[:12]} lacks {', '.join(lacking)}", str(folder))
    return f"revision {revision[:12]}", _note(need, folder)


def _folder(need: Need, folder: Path) -> tuple[str, str]:
    if not folder.is_dir():
        raise checkpoints.no_folder(folder)
    lacking = required_files.lacking(folder, need.layout)
    if lacking:
        hint = "the folder must hold the model's published files, all of them"
        raise UserError(f"the folder lacks {', '.join(lacking)}", str(folder), hint)
    return str(folder), _note(need, folder)


def _at_url(locked: Locked) -> tuple[str, str]:
    path = open_clip_tags.url_file(locked.url or "")
    return _present(path.parent, list(locked.files), f"{path}, SHA-256 {(locked.pin or '')[:12]}")


def _present(folder: Path, names: list[str], found: str) -> tuple[str, str]:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{', '.join(missing)} is not on this machine", str(folder))
    return found, ""


def _note(need: Need, folder: Path) -> str:
    if required_files.needs_remote_code(folder / "config.json") and not need.remote_code:
        return (
            "it comes with Python code of its own (`auto_map`), which is not run: if loading "
            "fails, and you trust its authors, set `trust_remote_code: true` and fetch again"
        )
    return ""
