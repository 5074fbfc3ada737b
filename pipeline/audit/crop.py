"""How much of the images the CLIPs of a DAG never see, or see as padding, and of which label.

From sizes alone: nothing is opened, and no weights are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.audit.auroc import auroc, enough, interval
from pipeline.audit.finding import (
    CUT,
    LEVEL,
    LOOK_CUT,
    Finding,
    Verdict,
    not_judged,
    of_auroc,
    percent,
    worse,
)
from pipeline.audit.rows import Group
from pipeline.models.clip.view import View, shown, view_of

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag

CROP = "cut by the crop"
_CENTRE = View("shortest", 1, 1)  # a square from the middle: the field's habit
_TURNED = 5  # EXIF orientations from here on swap width and height
_LITTLE = 1e-6  # of the area: rounding
_LABELS = (("real", 0), ("fake", 1))


def views(dag: "Dag") -> dict[str, View | None]:
    """How each CLIP that embeds images looks at them, by its node; None: not known here.

    Provided embeddings are left out: nobody says how their images were looked at.
    """
    nodes = [node for node in dag.nodes.values() if node.stage.name == "embed_images"]
    return {node.name: view_of(node.parameters.clip) for node in nodes}


def crop(groups: Sequence[Group], found: Mapping[str, View | None]) -> Finding:
    """What the views cut off or pad; the worst of the DAG's CLIPs, or a centre crop without any."""
    if not groups[0].rows.num_rows:
        return not_judged(CROP, "no labelled image that can be read")
    if found and all(view is not None and view.mode == "squash" for view in found.values()):
        return Finding(CROP, "nothing: this CLIP squashes images to a square", "ok")
    asked = {name: view or _CENTRE for name, view in found.items()} or {"": _CENTRE}
    each = [_of_view(groups, name, view) for name, view in asked.items()]
    worst = reduce(lambda one, other: one if _worse(one, other) else other, each)
    seen = [worst.seen] if worst.seen else []
    if not found or None in found.values():
        seen.append("as a crop of the middle does (no configuration of a CLIP is at hand)")
    details = tuple(row for one in each for row in one.details)
    return replace(worst, seen="; ".join(seen), details=details)


def _worse(one: Finding, other: Finding) -> bool:
    return worse(one.verdict, other.verdict) == one.verdict


def _of_view(groups: Sequence[Group], node: str, view: View) -> Finding:
    details = [_figures(group, node, view, LEVEL / len(groups)) for group in groups]
    whole = details[0]
    told = [row for row in details if row["low"] is not None]
    most = max(told, key=lambda row: row["low"]) if told else None
    verdict: Verdict = "look" if whole["mean_cut"] >= LOOK_CUT else "ok"
    figure = f"mean area cut {percent(whole['mean_cut'])}"
    seen = _both(f"over {percent(CUT)} of the area cut", "cut", whole)
    if view.mode == "longest":
        figure, seen = "nothing is cut", _both("padded", "padded", whole)
    if most and of_auroc(most["low"]) != "ok":
        verdict = worse(verdict, of_auroc(most["low"]))
        figure += f"; tells the label with AUROC {most['auroc']:.3f}"
        figure += f" of {most['generator']}" if most["generator"] else ""
    if view.height > 1:
        seen += _both(f"; smaller than {view.width}x{view.height}", "smaller", whole)
    if verdict == "ok":
        return Finding(CROP, figure, verdict, details=tuple(details))
    advice = (
        "cut all to one shape, as the variant `square_224` does, or take a CLIP whose transform "
        "squashes"
    )
    return Finding(CROP, figure, verdict, seen, advice, tuple(details))


def _figures(group: Group, node: str, view: View, level: float) -> dict[str, Any]:
    """What a view does to a group: shares of its images, by label."""
    lost = unseen(group.rows, view)
    small = np.minimum(*_upright(group.rows)) < min(view.width, view.height)
    row: dict[str, Any] = {"node": node, "generator": group.generator, "mode": view.mode}
    row |= {"mean_cut": float(np.maximum(lost, 0).mean()), "auroc": None, "low": None}
    shares = {"cut": lost > CUT, "padded": lost < -_LITTLE, "smaller": small}
    for what, mask in shares.items():
        for name, value in _LABELS:
            own = mask[group.label == value]
            row[f"{name}_{what}"] = float(own.mean()) if len(own) else None
    if enough(group.label):
        value = auroc(group.label, lost)
        row["auroc"] = max(value, 1 - value)  # whichever label loses more
        row["low"], _ = interval(row["auroc"], *group.counts, level)
    return row


def _both(said: str, what: str, row: Mapping[str, Any]) -> str:
    each = [(name, row[f"{name}_{what}"]) for name, _ in _LABELS]
    shares = (f"{name} {percent(share)}" for name, share in each if share is not None)
    return f"{said}: {', '.join(shares)}"


def unseen(rows: pa.Table, view: View) -> np.ndarray:
    """The share of each image's area that is not seen, float [n]; below 0 where it is padded."""
    across, down = shown(view, *_upright(rows))
    return 1 - across * down


def _upright(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    width, height = (rows[name].to_numpy().astype(np.float64) for name in ("width", "height"))
    turned = rows["orientation"].to_numpy() >= _TURNED
    return np.where(turned, height, width), np.where(turned, width, height)
