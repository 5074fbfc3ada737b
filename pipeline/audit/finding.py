"""What one check of a corpus found, and from where on that is worth a look, or a leak.

The limits are ours, and stand here alone:

- A fact that ranks fakes above reals with an AUROC of 0.75 gives a balanced accuracy of 0.68 to
  whoever reads nothing else, were both classes normal with one width (d' = 0.95; the best cut is
  right with probability Phi(d'/2)); methods are told apart by a few points. That is a leak. At 0.6
  it gives 0.57, as much as methods differ by: look.
- What counts is the lower end of an interval that holds for all AUROCs of an audit at once, so that
  few images, and many looks, give no alarm by chance.
- The same bytes on two sides are a look whatever their number. Once they are 1 % of a side, an
  accuracy can be a point too high: a leak. Neighbours of an embedding may be no copies: a look is
  from 0.1 % of a side on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "look", "leak", "not judged"]
VERDICTS: tuple[Verdict, ...] = ("ok", "look", "leak", "not judged")

LOOK_AUROC, LEAK_AUROC = 0.6, 0.75
LOOK_SHARE, LEAK_SHARE = 0.001, 0.01
LOOK_RARE = 0.1  # a class that is rarer than this among the labelled images
LOOK_FAILED = 0.005  # more of one label's images fail than of the other's, by this share of them
LOOK_CUT, CUT = 0.1, 0.25  # mean area that a crop may cut off; area that is much for one image
LEVEL = 0.05  # of all intervals of an audit together
FEWEST = 20  # images of each label below which nothing is said


@dataclass(frozen=True)
class Finding:
    """One check: its figure in words, the verdict, what differs, what to do, and all numbers.

    `seen` and `advice` are empty where there is nothing to say. `details` are plain values.
    """

    check: str
    figure: str
    verdict: Verdict
    seen: str = ""
    advice: str = ""
    details: tuple[dict[str, Any], ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "details": list(self.details)}


def not_judged(check: str, why: str, advice: str = "") -> Finding:
    """A check that could not be made."""
    return Finding(check, why, "not judged", advice=advice)


def worse(one: Verdict, other: Verdict) -> Verdict:
    """The one that says more: leak before look before ok; not judged gives way to all."""
    order = ("not judged", "ok", "look", "leak")
    return max(one, other, key=order.index)


def of_auroc(low: float, highest: Verdict = "leak") -> Verdict:
    """The verdict on an AUROC of which `low` is the lower end of its interval."""
    if low >= LEAK_AUROC:
        return highest
    return "look" if low >= LOOK_AUROC else "ok"


def of_share(share: float, least: float) -> Verdict:
    """The verdict on images that are on two sides; `share`: of the smaller side."""
    if share >= LEAK_SHARE:
        return "leak"
    return "look" if share > 0 and share >= least else "ok"


def percent(share: float) -> str:
    """A share as a reader wants it: `12 %`, `0.4 %`, `<0.1 %`; `100 %` of nothing but all."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.995 <= share < 1:
        return f"{100 * min(share, 0.999):.1f} %"
    return f"{100 * share:.{0 if share >= 0.1 or share == 0 else 1}f} %"


def summary(findings: Sequence[Finding]) -> str:
    """How many of each verdict: `9 ok, 2 look, 1 leak`."""
    counts = Counter(one.verdict for one in findings)
    return ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
