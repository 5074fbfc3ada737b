"""Durations as people type and read them: 30s, 10m, 2h."""

import re

from pipeline.errors import UserError

_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse(text: str, where: str) -> float | None:
    """Seconds of `30s`, `10m`, `1.5h`; None for `off`. UserError for any other text.

    `where` names the option, such as `--stall`.
    """
    if text.strip().lower() == "off":
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text, re.IGNORECASE)
    seconds = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if not 1 <= seconds < 10**9:
        raise UserError(
            f"'{text}' is no duration",
            where,
            "write a number and its unit, of at least a second: 30s, 10m, 2h; or off",
        )
    return seconds


def words(seconds: float) -> str:
    """A number of seconds, as `parse` reads it: `45s`, `10m`, `1.5h`; three digits at most."""
    for unit in ("h", "m"):
        if seconds >= _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:.3g}{unit}"
    return f"{seconds:.3g}s"
