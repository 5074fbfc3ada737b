"""Stage `images`: one row per distinct content, however many files hold it, and in each variant."""

import hashlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.corpus.perturb import perturb
from pipeline.corpus.variants import CLEAN, content_id, parse
from pipeline.spec import Parameters, Stage


class Images(Parameters):
    """Nothing to set."""


def run(inputs: Mapping[str, pa.Table], parameters: Images, models: Sequence[Any] = ()) -> pa.Table:
    """The table `images` of one part of `listing`, taken by itself; or of `files`, in a variant.

    `files` are rows of `images` that are still clean but for their image_id and variant.
    """
    if "files" in inputs:
        return perturbed(inputs["files"])
    return first_occurrences(inputs["listing"], frozenset())


def first_occurrences(listing: pa.Table, seen: Set[str]) -> pa.Table:
    """Rows of `images` (variant clean) for the ids of `listing` not in `seen`, in listing order.

    `seen` is left as it is: before the next part, the caller adds the ids of the table returned.
    The same content twice is one row, with the uri that comes first. A file that could not be read
    has no content to be named by: its row has `unreadable_id(uri)` and the listing's error, so that
    it is counted at every node. A path that does not fit its layout is no fault of the image.
    """
    taken: set[str] = set()  # a copy of `seen` for each part would cost more than the rest
    rows = []
    for row in listing.to_pylist():
        key = row["image_id"] or unreadable_id(row["uri"])
        if key in seen or key in taken:
            continue
        taken.add(key)
        usable = row["width"] is not None
        rows.append({**row, "image_id": key, "error": None if usable else row["error"]})
    names = tables.schema("images").names
    columns = {name: [row.get(name) for row in rows] for name in names}
    return tables.build("images", {**columns, "variant": [CLEAN] * len(rows)})


def perturbed(rows: pa.Table) -> pa.Table:
    """`rows` with the facts of their variants: what a file with these pixels would be.

    Each image is opened. width and height are those of the upright, perturbed image. Where the
    last step is JPEG, format, jpeg_quality and bytes are that JPEG's; elsewhere they are null,
    since there is no file. An image that cannot be decoded is a failed row; uri and sha256 stay.
    """
    ids, variants = rows["image_id"].to_pylist(), rows["variant"].to_pylist()

    def measure(image: Image.Image, row: int) -> dict[str, Any]:
        made, data = perturb(image, variants[row], content_id(ids[row]))
        facts = {"width": made.width, "height": made.height, "mode": "RGB", "orientation": 1}
        if data is not None:
            quality = int(parse(variants[row])[-1].amount)
            facts |= {"format": "JPEG", "jpeg_quality": quality, "bytes": len(data)}
        return facts

    found = rows.select(["image_id", "variant", "uri", "sha256"]).to_pylist()
    clean = rows.drop_columns("variant").append_column("variant", pa.array([CLEAN] * len(rows)))
    for row, facts, error in decode(clean, prepare=measure, given=range(len(clean))):
        found[row] |= facts or {"error": error}
    names = tables.schema("images").names
    return tables.build("images", {name: [row.get(name) for row in found] for name in names})


def unreadable_id(uri: str) -> str:
    """The image_id of a file that cannot be read: 32 hex digits that depend on its uri."""
    return hashlib.sha256(f"unreadable:{uri}".encode()).hexdigest()[:32]


STAGE = Stage(
    name="images",
    version=1,
    inputs=("listing",),
    output="images",
    parameters=Images,
    run=run,
)
