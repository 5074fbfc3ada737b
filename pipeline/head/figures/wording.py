"""How the tables write a figure, and what a row of figures is of."""

from collections.abc import Mapping
from typing import Any


def generator_name(row: Mapping[str, Any]) -> str:
    """What a row of METRICS is of, in words: a generator, or how many unseen ones."""
    if row["scope"] == "mean":
        return f"mean of {row['generators']} unseen"
    return f"{row['generator'] or '(none)'}{' (seen in training)' if row['seen'] else ''}"


def with_interval(row: dict[str, float | None], name: str, sign: str = "") -> str | None:
    """Such as `0.981 [.970, .989]`; without the interval where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return digits(row[name], sign)
    # an end takes four characters, `.970` or `1.00`: two intervals have to fit beside the rest
    ends = (digits(end, sign).replace("0.", ".", 1).replace("1.000", "1.00") for end in (low, high))
    return f"{digits(row[name], sign)} [{', '.join(ends)}]"


def digits(value: float | None, sign: str = "") -> str | None:
    """Three of them after the point."""
    return None if value is None else f"{value:{sign}.3f}"
