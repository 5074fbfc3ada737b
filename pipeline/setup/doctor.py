"""`item doctor`: what is here, what is missing, and what to do about it."""

import os
import shlex
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.corpus.layouts.auto import layout_of
from pipeline.corpus.layouts.registry import AUTO
from pipeline.corpus.layouts.registry import find as find_layout
from pipeline.corpus.layouts.roots import check_root
from pipeline.corpus.layouts.survey import survey_files
from pipeline.corpus.sources.find import find_images
from pipeline.corpus.sources.found import Found
from pipeline.dag.graph import Draft, fingerprinted, read
from pipeline.engine.clusters import ready
from pipeline.engine.machine import cores
from pipeline.errors import UserError, many
from pipeline.head.methods.foreign import check
from pipeline.head.rows.bind import bind, bind_draft
from pipeline.plan.plan import plan
from pipeline.plugins import offered
from pipeline.setup.finding import Check, attempt
from pipeline.setup.model_checks import check_models
from pipeline.setup.model_needs import hub_models
from pipeline.store.layout import settled
from pipeline.store.parts import Store
from pipeline.store.snapshot import compare, sampled

_PACKAGES = (
    *("torch", "torchvision", "open_clip_torch", "transformers", "spacy", "pyarrow", "duckdb"),
    *("dask", "distributed", "cryptography", "scikit-learn"),
)
_TIGHT_GB = 1.0


def examine(
    dag: str | None, overrides: list[str] | None, store: Path, load: bool = True
) -> list[Check]:
    """All checks; those of a DAG too when one is given: its models, corpus, devices and space.

    With `load` every model whose files are complete is loaded too, which proves the most and
    takes the longest. One thing that is missing never hides another.
    """
    checks = [_package(name) for name in _PACKAGES]
    checks += [_devices(), *_store(store)]
    if dag is None:
        return checks
    drafts: list[Draft] = []
    checks.append(attempt("DAG", lambda: _read(dag, overrides, drafts)))
    for draft in drafts:
        given = [word for override in overrides or [] for word in ("--set", override)]
        fetch = shlex.join(["item", "models", "fetch", dag, *given])
        corpus = attempt("corpus", lambda d=draft: _corpus(d, store))
        cluster = attempt("cluster", lambda d=draft: ready(d.file.cluster))
        checks += [_lock(draft, fetch), corpus, cluster, *check_models(draft, fetch, load)]
        if corpus.ok and draft.file.experiments:
            checks.append(attempt("experiments", lambda d=draft: _experiments(d, store)))
        if corpus.ok:
            checks.append(_room(draft, store))
    return checks


def _read(dag: str, overrides: list[str] | None, drafts: list[Draft]) -> str:
    drafts.append(read(dag, overrides))
    offers = [f"{one.kind} {one.name}" for one in offered.use(drafts[0].file.plugins)]
    of_plugins = f", of plugins: {', '.join(offers)}" if offers else ""
    return f"{drafts[0].path}: {many(len(drafts[0].nodes), 'node')}{of_plugins}"


def _lock(draft: Draft, fetch: str) -> Check:
    lock = draft.lock
    if lock.models:
        return Check(True, "lock", f"{lock.path} names {len(lock.models)} models")
    hint = f"`{fetch}` writes it" if hub_models(draft) else ""
    found = f"none at {lock.path}" if hint else "not needed: no model is a hub's"
    return Check(True, "lock", found, hint)


def _corpus(draft: Draft, store: Path) -> str:
    """What is there, how it is read, and what is odd in it; what must be there if it is not."""
    root, layout = draft.file.corpus.root, draft.file.corpus.layout
    try:
        found = find_images(draft.file.corpus.origin)
    except UserError as error:
        known = find_layout(layout)
        expects = f", which holds {known.expects}" if known else ""
        source = f" (from {known.source})" if known and known.source else ""
        hint = f"give the folder{source} by --set corpus.root=…{expects}; {error.hint}"
        raise UserError(error.what, error.where, hint) from None
    corpus = _settled(draft, store, found).file.corpus
    whole = survey_files(corpus.reading, found)
    warnings = check_root(whole, root)
    labels = {0: 0, 1: 0, None: 0}
    for row in whole.rows():
        labels[row.label] += row.images
    auto = f" (layout auto is {corpus.layout})" if layout == AUTO else ""
    said = f"{many(whole.paths, 'image file')} in {root}{auto}: {labels[0]} real, {labels[1]} fake"
    if whole.misfits:
        warnings.append(f"{whole.misfits} of which do not fit the layout {corpus.layout}")
    if len(found.unlisted):
        warnings.append(f"beside {len(found.unlisted):,} that cannot be listed")
    return ", ".join([said, *warnings])


def _settled(draft: Draft, store: Path, found: Found) -> Draft:
    """The draft with a layout that reads paths: that of the store, if it is known there."""
    corpus = draft.file.corpus
    if corpus.layout != AUTO:
        return draft
    try:
        corpus = settled(fingerprinted(draft), Store(store), found).corpus
    except UserError:  # a model or the store is not there: another check's finding
        layout = layout_of(found, corpus.root)
        corpus = corpus.model_copy(update={"layout": layout})
    return replace(draft, file=draft.file.model_copy(update={"corpus": corpus}))


def _experiments(draft: Draft, store: Path) -> str:
    """Binds the SQL of the experiments; without the DAG's models, to the paths of its files."""
    found = find_images(draft.file.corpus.origin)
    try:
        cache = Store(store)
        graph = settled(fingerprinted(draft), cache, found)
    except UserError:  # a model or the store is not there: another check's finding
        draft = _settled(draft, store, found)
        unchecked = bind_draft(draft, sampled(found.files, draft.file.corpus.limit))
    else:
        unchecked = bind(graph, cache, compare(graph, cache, found))
    for experiment in draft.file.experiments.values():
        check(experiment.foreign)
    said = f"the SQL of {len(draft.file.experiments)} is right"
    if unchecked:
        said += f"; what it selects is not known yet in {', '.join(unchecked)}"
    return said


def _room(draft: Draft, store: Path) -> Check:
    """Free space of the store's disk against what the plan estimates."""
    try:
        steps = plan(fingerprinted(draft), Store(store))
    except UserError as error:
        return Check(True, "room for the run", f"not estimated: {error.what}")
    needed = sum(step.bytes or 0 for step in steps) / 1e9
    unknown = [step.node for step in steps if step.bytes is None]
    known = [f"{needed:.2f} GB of parts to write"] if needed or not unknown else []
    what = "what is not measured yet" if known else "not measured yet"
    lacking = [f"{what}: {', '.join(unknown)}"] if unknown else []
    found = ", and ".join([*known, *lacking])
    free = shutil.disk_usage(_nearest(store)).free / 1e9
    if needed > free:
        return Check(False, "room for the run", f"{found}; {free:.2f} GB free", "give --store DIR")
    return Check(True, "room for the run", f"{found}; {free:.1f} GB free")


def _package(name: str) -> Check:
    try:
        return Check(True, name, version(name))
    except PackageNotFoundError:
        return Check(False, name, "not installed", f"pip install {name}")


def _devices() -> Check:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found = f"{cores()} cores; " + (", ".join(gpus) if gpus else "no GPU that torch can use")
    return Check(True, "devices", found)


def _store(path: Path) -> list[Check]:
    checks = [attempt("store", lambda: f"{Store(path).root}")]
    if checks[0].ok:
        checks.append(attempt("parts", lambda: _parts(Store(path))))
    nearest = _nearest(path)
    writable = os.access(nearest, os.W_OK)
    hint = "" if writable else "mend permissions, or give another --store"
    checks.append(Check(writable, "store writable", "yes" if writable else "no", hint))
    free = shutil.disk_usage(nearest).free / 1e9
    hint = "" if free > _TIGHT_GB else "free space, or give another --store"
    checks.append(Check(free > _TIGHT_GB, "free space", f"{free:.1f} GB", hint))
    return checks


def _parts(store: Store) -> str:
    """Opens every part's footer; UserError for the first that is damaged."""
    count = sum(1 for path in store.all_parts() if store.facts(path))
    return f"{many(count, 'part')} with whole footers; `item verify DAG` reads all of them"


def _nearest(path: Path) -> Path:
    """The innermost folder of `path` that exists."""
    nearest = path.expanduser().resolve()
    while not nearest.exists():
        nearest = nearest.parent
    return nearest
