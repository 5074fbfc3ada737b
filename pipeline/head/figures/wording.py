"""How the tables write a figure, and what a row of figures is of."""

from collections.abc import Mapping
from typing import Any


def generator_name(row: Mapping[str, Any]) -> str:
    """What a row of METRICS is of, in words: a generator, or how many unseen ones."""
    if row["scope"] == "mean":
        return f"mean of {row['generators']} unseen"
    return f"{row['generator'] or '(none)'}{' (seen in training)' if row['seen'] else ''}"


def with_interval(row: Mapping[str, Any], name: str, sign: str = "") -> str | None:
    """A figure of a row with `<name>_low` and `<name>_high`, as `interval` writes it."""
    return interval(*(row[key] for key in (name, f"{name}_low", f"{name}_high")), sign)


def interval(
    value: float | None, low: float | None, high: float | None, sign: str = ""
) -> str | None:
    """Such as `0.981 [.970, .989]`; without the interval where there is none."""
    if low is None or high is None:
        return digits(value, sign)
    return f"{digits(value, sign)} {ends(low, high, sign)}"


def ends(low: float | None, high: float | None, sign: str = "") -> str | None:
    """Such as `[.970, .989]`: four characters an end, so that two of them fit beside the rest."""
    if low is None or high is None:
        return None
    short = (
        digits(end, sign).replace("0.", ".", 1).replace("1.000", "1.00") for end in (low, high)
    )
    return f"[{', '.join(short)}]"


def digits(value: float | None, sign: str = "") -> str | None:
    """Three of them after the point."""
    return None if value is None else f"{value:{sign}.3f}"
