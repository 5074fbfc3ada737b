"""Whether the corpus gives its labels away: the audit's findings, what is no `ok` first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.audit.finding import summary
from pipeline.pages.blocks import Block, Rows, Words
from pipeline.pages.table import table_of

if TYPE_CHECKING:
    from pipeline.audit.finding import Finding

_ORDER = ("leak", "look", "not judged", "ok")
_TONES = {"ok": "ok", "look": "look", "leak": "leak", "not judged": "none"}


def audited(findings: "Sequence[Finding]") -> list[Block]:
    """A row a check. Without findings: that there are none."""
    if not findings:
        return [Words("No audit was made.", "quiet")]
    order = sorted(findings, key=lambda one: _ORDER.index(one.verdict))
    rows = [
        {
            "verdict": one.verdict,
            "check": one.check,
            "what was found": one.figure,
        }
        for one in order
    ]
    below = [[*filter(None, [one.seen, one.advice and f"→ {one.advice}"])] for one in order]
    about = f"{summary(findings)}: what tells the label without the picture, and what sides share"
    return [
        Rows(
            table_of(
                pa.Table.from_pylist(rows),
                about,
                tones={"verdict": _TONES},
                notes={"what was found": below},
            )
        ),
        Words(
            "A leak lets a method score without looking at the picture; read every figure below "
            "with that in mind. Near-duplicates are not looked for here: `item audit DAG` does.",
            "quiet",
        ),
    ]
