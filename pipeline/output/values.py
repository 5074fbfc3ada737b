"""Arrow's values as plain ones, as JSON has them, and as a person reads them."""

import json
import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.errors import visible

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 8_192  # rows turned into Python values at a time
_ABSENT = "-"
_A_DAY = 86_400
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ENDLESS = {32: 2**31 - 1, 64: 2**63 - 1}  # how DuckDB writes the date `infinity`, by its bits


def rows(table: "pa.Table") -> Iterator[tuple[Any, ...]]:
    """The rows as Python values. Moments that Python has no value for are texts (ISO 8601)."""
    for batch in table.to_batches(max_chunksize=_BATCH):
        yield from zip(*(_python(column) for column in batch.columns), strict=True)


def plain(value: Any, keep_nan: bool = False) -> Any:
    """A value as JSON knows it: None, bool, int, finite float, str, list or dict."""
    if isinstance(value, float):
        return value if keep_nan or math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):  # a calendar interval, or a map's (key, value)
        return str(value) if hasattr(value, "_fields") else [plain(item) for item in value]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, str, type(None))) else str(value)


def cell(value: Any) -> str:
    """A value as a person reads it: what a terminal would obey is an escape, null is `-`.

    The end of a line is one too: a row is a line.
    """
    if isinstance(value, str):
        return _line(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list) and len(value) > 4 and isinstance(value[0], float):
        start = ", ".join(cell(item) for item in value[:3])
        return f"[{start}, … {len(value)} values]"
    found = plain(value)
    if found is None:
        return _ABSENT
    if isinstance(found, (list, dict)):
        return _line(json.dumps(found, ensure_ascii=False))
    if isinstance(found, float):
        return _number(found)
    return str(found).lower() if isinstance(found, bool) else _line(str(found))


def unique(names: list[str]) -> list[str]:
    """SQL may give two columns one name; in a JSON object the second would hide the first."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _line(text: str) -> str:
    return visible(text).replace("\n", "\\n")


def _number(value: float) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    size = abs(value)
    if size < 1e-3 or size >= 1e9:
        return f"{value:.3e}"
    return f"{value:.4f}" if size < 1e3 else f"{value:.1f}"


def _python(column: "pa.Array") -> list[Any]:
    try:
        return column.to_pylist()
    except (OverflowError, ValueError):  # years beyond 9999; nanoseconds, where pandas is not
        return [_scalar(value) for value in column]


def _scalar(value: "pa.Scalar") -> Any:
    import pyarrow as pa

    if not value.is_valid:
        return None
    kind = value.type
    if pa.types.is_struct(kind):
        return {name: _scalar(item) for name, item in value.items()}
    if pa.types.is_map(kind):
        return [(_scalar(one["key"]), _scalar(one["value"])) for one in value.values]
    if hasattr(value, "values") and not pa.types.is_dictionary(kind):  # lists of any kind
        return [_scalar(item) for item in value.values]
    if pa.types.is_date32(kind):
        return _moment(value.value * _A_DAY, 1, 32, value.value)
    if pa.types.is_timestamp(kind):
        zone = "" if kind.tz is None else "+00:00"
        return _moment(value.value, _A_SECOND[kind.unit], 64, value.value, zone)
    if pa.types.is_time64(kind):
        return _clock(value.value, _A_SECOND[kind.unit])
    return value.as_py()


def _moment(ticks: int, a_second: int, bits: int, raw: int, zone: str | None = None) -> str:
    """ISO 8601 of `ticks` since 1970, whatever the year; the date alone without a `zone`."""
    if abs(raw) >= _ENDLESS[bits]:
        return "infinity" if raw > 0 else "-infinity"
    days, left = divmod(ticks, _A_DAY * a_second)
    day = _day(days)
    return day if zone is None else f"{day}T{_clock(left, a_second)}{zone}"


def _clock(ticks: int, a_second: int) -> str:
    seconds, part = divmod(ticks, a_second)
    digits = f".{part:0{len(str(a_second)) - 1}d}" if part else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{digits}"


def _day(days: int) -> str:
    """The date so many days after 1970-01-01, in the calendar of ISO 8601.

    A calendar repeats itself after 400 years, which are 146,097 days: Python's own does the rest.
    """
    cycles, within = divmod(days, 146_097)
    found = date(2000, 1, 1) + timedelta(days=(within - 10_957) % 146_097)
    cycles += (within - 10_957) // 146_097
    year = found.year + 400 * cycles
    sign = "-" if year < 0 else ""
    return f"{sign}{abs(year):04d}-{found.month:02d}-{found.day:02d}"
