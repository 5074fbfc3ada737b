"""Which methods are told apart from the one they are compared to, and by how much chance."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.head.figures.wording import generator_name

LEVEL = 0.05
_AHEAD, _BEHIND, _NEITHER = "ahead", "behind", "not told apart"
_ORDER = {_AHEAD: 0, _BEHIND: 1, _NEITHER: 2}  # what differs between runs before the last
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


def in_words(runs: Sequence[Sequence[Mapping[str, Any]]], resamples: int) -> list[str]:
    """For each method that is compared to: which others are ahead of it, behind it, or neither.

    `runs`: of each run the rows of DIFFERENCES of the mean AP over unseen generators, from so many
    `resamples`. Those without intervals say nothing. Each run is tested alone.
    """
    against: dict[str, dict[str, Counter[str]]] = {}  # compare_to -> method -> verdict -> runs
    for rows in runs:
        for other in dict.fromkeys(row["compare_to"] for row in rows if row["p"] is not None):
            own = {row["method"]: row for row in rows if row["compare_to"] == other}
            for name, verdict in _verdicts(own).items():
                against.setdefault(other, {}).setdefault(name, Counter())[verdict] += 1
    return [_said(other, verdicts, len(runs), resamples) for other, verdicts in against.items()]


def _verdicts(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Those of one run's methods, by name."""
    apart = told_apart({name: row["p"] for name, row in rows.items()})
    ahead = {name: _AHEAD if row["difference"] > 0 else _BEHIND for name, row in rows.items()}
    return {name: ahead[name] if name in apart else _NEITHER for name in rows}


def _said(other: str, verdicts: Mapping[str, Counter[str]], runs: int, resamples: int) -> str:
    count = len(verdicts)
    of_runs = f" in each of {runs} runs" if runs > 1 else ""
    lines = [f"against {other}, by mean ap{of_runs} (Holm's test over {count} methods, 5 %)"]
    needed = math.ceil(2 * count / LEVEL) - 1  # a p-value of the bootstrap is 2 / (times + 1)
    if resamples < needed:
        lines.append(
            f"  {resamples:,} resamples cannot tell them apart: `bootstrap: {needed}` or more can"
        )
        return "\n".join(lines)
    groups: dict[str, list[str]] = {}
    for name, found in verdicts.items():
        parts = [(what, found[what]) for what in (_AHEAD, _BEHIND, _NEITHER) if found[what]]
        words = [what if number == runs else f"{what} in {number}" for what, number in parts]
        groups.setdefault(", ".join(words), []).append(name)
    order = sorted(groups, key=lambda what: (_ORDER.get(what, 1.5), what))
    return "\n".join([*lines, *(f"  {what}: {', '.join(groups[what])}" for what in order)])


def of_mean_ap(differences: pa.Table, variant: str) -> list[dict[str, Any]]:
    """The rows of DIFFERENCES of the mean AP over unseen generators, in a variant."""
    wanted = {"scope": "mean", "metric": "ap", "variant": variant}
    rows = differences.to_pylist()
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def files_tell(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """A warning when files alone tell reals from fakes: the baseline `metadata` is far from chance.

    `rows`: those of METRICS of one variant. The mean over the unseen is named if it is far, else
    the generator that is told best: generators told both ways round have a mean of nothing.
    """
    own = [row for row in rows if row["method"] == "metadata" and row["auroc"] is not None]
    far = [row for row in own if _distance(row) > FAR]
    far = [row for row in far if row["scope"] == "mean"] or far
    if not far:
        return None
    most = max(far, key=_distance)
    of = "" if most["scope"] == "mean" else f" on {generator_name(most)}"
    found = f"`metadata` alone (size, shape, format) has an AUROC of {most['auroc']:.3f}{of}"
    if most["auroc"] < 0.5:
        what = "files tell, the other way round than was learned"
        return f"{what}: {found};\nit misleads what learned it"
    return f"files tell: {found};\nother methods may have learned no more than that"


def _distance(row: Mapping[str, Any]) -> float:
    """How far an AUROC is from 0.5 at least, by its interval where there is one."""
    ends = [row["auroc"] if row[end] is None else row[end] for end in ("auroc_low", "auroc_high")]
    return max(ends[0] - 0.5, 0.5 - ends[1])
