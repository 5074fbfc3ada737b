"""Which methods are told apart from the one they are compared to, and by how much chance."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

LEVEL = 0.05
FAR = 0.1  # an AUROC whose interval is further from 0.5 is far from chance


def told_apart(p_values: Mapping[str, float], level: float = LEVEL) -> set[str]:
    """The methods whose difference is none of chance's, by Holm's step-down procedure.

    The share of runs in which any method is named wrongly is at most `level` (Holm, A Simple
    Sequentially Rejective Multiple Test Procedure, 1979).
    """
    found: set[str] = set()
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - place):
            break
        found.add(name)
    return found


def in_words(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each method that is compared to: which others are ahead of it, behind it, or neither.

    `differences`: rows of DIFFERENCES of the mean AP over unseen generators. Those without
    intervals say nothing.
    """
    against: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in differences:
        if row["p"] is not None:
            against.setdefault(row["compare_to"], {})[row["method"]] = row
    said = []
    for other, rows in against.items():
        apart = told_apart({name: row["p"] for name, row in rows.items()})
        groups: dict[str, list[str]] = {"ahead": [], "behind": [], "not told apart": []}
        for name, row in rows.items():
            ahead = "ahead" if row["difference"] > 0 else "behind"
            groups[ahead if name in apart else "not told apart"].append(name)
        lines = [f"against {other}, by mean ap (Holm's test over {len(rows)} methods, 5 %)"]
        lines += [f"  {what}: {', '.join(some)}" for what, some in groups.items() if some]
        said.append("\n".join(lines))
    return said


def of_mean_ap(differences: pa.Table, variant: str) -> list[dict[str, Any]]:
    """The rows of DIFFERENCES of the mean AP over unseen generators, in a variant."""
    wanted = {"scope": "mean", "metric": "ap", "variant": variant}
    rows = differences.to_pylist()
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def files_tell(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """A warning when files alone tell reals from fakes: the baseline `metadata` is far from chance.

    `rows`: those of METRICS of one variant; the mean over the unseen counts, or without one all.
    """
    own = [row for row in rows if row["method"] == "metadata" and row["auroc"] is not None]
    own = [row for row in own if row["scope"] == "mean"] or own
    far = [row for row in own if _distance(row) > FAR]
    if not far:
        return None
    most = max(far, key=_distance)
    turned = ", turned round since training" if most["auroc"] < 0.5 else ""
    return (
        f"files tell: `metadata` alone (size, shape, format) has an AUROC of {most['auroc']:.3f}"
        f"{turned};\nother methods may have learned no more than that"
    )


def _distance(row: Mapping[str, Any]) -> float:
    """How far an AUROC is from 0.5 at least, by its interval where there is one."""
    ends = [row["auroc"] if row[end] is None else row[end] for end in ("auroc_low", "auroc_high")]
    return max(ends[0] - 0.5, 0.5 - ends[1])
