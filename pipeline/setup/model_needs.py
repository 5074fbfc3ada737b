"""Which models a DAG needs, each once, however many nodes use it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.dag import lock as locks
from pipeline.dag.graph import Draft
from pipeline.models.clip.clip import ClipSpec
from pipeline.models.parser.parser import ParserModel
from pipeline.models.weights import checkpoints
from pipeline.plugins.offered import CAPTIONER

Kind = Literal["transformers", "open_clip", "tag", "spacy", "folder", "file", "plugin"]


@dataclass(frozen=True)
class Need:
    """A model and the nodes that use it.

    `key` is its name in messages and in a lock; `pin` the revision that the DAG (or its lock) puts
    behind the name. `layout` is what its files look like: transformers', open_clip's, spaCy's; a
    `file` is no model but takes one's place (captions of the user's own), and so does a `plugin`.
    `spec` is a node's.
    """

    key: str
    kind: Kind
    layout: str
    model: str
    tag: str | None
    pin: str | None
    nodes: tuple[str, ...]
    remote_code: bool
    spec: Any = field(repr=False)

    @property
    def entry(self) -> str:
        """The name under which a lock is written: with the revision that the DAG itself gives."""
        return f"{self.key}@{self.pin}" if self.pin else self.key

    @property
    def repository(self) -> str:
        """The hub repository of a model that is named by one."""
        return checkpoints.repository(self.model)

    @property
    def loaders(self) -> set[str]:
        """What reads the files; a lock that was written for others lacks some of them."""
        return {self.layout, *(["code"] if self.remote_code else [])}


def needs(draft: Draft) -> list[Need]:
    """The models of a DAG in the order in which its nodes first need them."""
    found: dict[tuple[str, str], Need] = {}  # two revisions of a model are two
    for name, (stage, _, parameters) in draft.nodes.items():
        for spec in stage.models(parameters):
            need = _need(name, spec)
            same = found.get((need.entry, need.layout))
            if same is not None:
                nodes = dict.fromkeys((*same.nodes, name))
                remote = same.remote_code or need.remote_code
                need = replace(same, nodes=tuple(nodes), remote_code=remote)
            found[(need.entry, need.layout)] = need
    return list(found.values())


def hub_models(draft: Draft) -> list[Need]:
    """The models that come from a hub (or an address of open_clip's), pinned or not."""
    return [need for need in needs(draft) if need.kind in ("transformers", "open_clip", "tag")]


def unpinned(draft: Draft) -> Iterator[Need]:
    """The hub models whose revision neither the DAG nor its lock names."""
    return (need for need in hub_models(draft) if need.pin is None)


def unpinned_lines(draft: Draft) -> list[str]:
    """For each hub model without a locked revision, one line: what decides its fingerprint now."""
    lines = []
    for need in unpinned(draft):
        name = need.key
        if need.kind == "tag":
            now = "its fingerprint names the tag only"
        else:
            revision = checkpoints.cached_revision(need.repository)
            now = (
                f"the cache's present main, {revision[:12]}, is used"
                if revision
                else ("it is not on this machine, and its revision is unknown")
            )
        lines.append(
            f"{', '.join(need.nodes)}: the revision of {name} is not pinned by "
            f"{draft.lock.path} ({now})"
        )
    return lines


def _need(node: str, spec: Any) -> Need:
    """One need; what is neither CLIP nor a parser is loaded by transformers."""
    if not hasattr(spec, "model"):
        name = str(getattr(spec, "file", type(spec).__name__))
        return Need(name, "file", "file", name, None, None, (node,), False, spec)
    if spec.model.startswith(CAPTIONER):
        return Need(spec.model, "plugin", "plugin", spec.model, None, None, (node,), False, spec)
    if isinstance(spec, ParserModel):
        layout, tag = "spacy", None
    elif isinstance(spec, ClipSpec):
        layout, tag = "open_clip", spec.pretrained
    else:
        layout, tag = "transformers", None
    model, pin = checkpoints.split_pin(spec.model)
    folder = checkpoints.local_folder(model)
    kind: Any = layout
    if folder is not None:
        kind = "folder"
    elif tag:
        kind = "tag"
    key = locks.key(model, tag) or str(folder)
    remote = bool(getattr(spec, "trust_remote_code", False))
    return Need(key, kind, layout, model, tag, pin, (node,), remote, spec)
