"""A harmless image in the place of one that failed: whether an image or the stage is at fault."""

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from PIL import Image

_SIDE, _COLOUR = 64, (120, 140, 90)
_CAPTION = "a ball on a table"


def answer(
    inputs: Mapping[str, pa.Table], run: Callable[[Mapping[str, pa.Table]], pa.Table]
) -> pa.Table | None:
    """What `run` gives of `inputs`, one image's or file's rows, with a plain picture and caption.

    None where they have neither: then nothing can be said of the stage. Raises what `run` raises.
    """
    stream = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), _COLOUR).save(stream, "PNG")
    with TemporaryDirectory(prefix="item-") as folder:
        path = Path(folder) / "plain.png"
        path.write_bytes(stream.getvalue())
        facts = {"uri": str(path), "sha256": hashlib.sha256(stream.getvalue()).hexdigest()}
        facts |= {"width": _SIDE, "height": _SIDE, "mode": "RGB", "format": "PNG"}
        harmless = {name: _with(table, facts) for name, table in inputs.items()}
        return run(harmless) if any(harmless[name] is not inputs[name] for name in inputs) else None


def _with(table: pa.Table, facts: Mapping[str, Any]) -> pa.Table:
    """`table` with `facts` of an image, or of a file, in their columns, and the plain caption."""
    columns = set(table.column_names)
    known = dict(facts) if "uri" in columns and columns & {"sha256", "path"} else {}
    known["caption"] = _CAPTION
    for name in columns & set(known):
        place, kind = table.column_names.index(name), table.schema.field(name)
        values = pa.array([known[name]] * len(table), kind.type)
        table = table.set_column(place, kind, values)
    return table
