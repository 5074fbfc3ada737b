"""How much memory the vectors of an experiment may take."""

import math
import re

from pipeline.errors import UserError

SHARE = 0.5  # of the machine's memory, or of the container's limit
_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


def default() -> int:
    """Bytes: `SHARE` of what this machine has, or of what its container may take."""
    from distributed.system import MEMORY_LIMIT  # knows containers' limits

    return int(MEMORY_LIMIT * SHARE)


def parse(text: str | None) -> int | None:
    """Bytes of `2GB` (powers of 1000) or `2GiB` (powers of 1024). UserError for any other text."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?\s*", text, re.IGNORECASE)
    size = 0.0
    if match:
        size = float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2].upper()]
    if not 1 <= size < 2**63:
        raise UserError(
            f"'{text}' is no size of memory",
            "--memory",
            "write a number above 0 and its unit: 2GB, 500MB",
        )
    return int(size)


def words(size: float) -> str:
    """A number of bytes as `parse` reads it, rounded up to three digits."""
    power, unit = next((p for p in ((3, "G"), (2, "M")) if size >= 1000 ** p[0]), (1, "K"))
    scaled = size / 1000**power
    digits = max(0, 3 - len(str(int(scaled))))
    return f"{math.ceil(round(scaled * 10**digits, 6)) / 10**digits:g}{unit}B"
