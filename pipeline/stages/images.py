"""Stage `images`: one row per distinct content, wherever it lies, and in each variant."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline import tables
from pipeline.corpus.decode import decode
from pipeline.corpus.file_facts import jpeg_tables
from pipeline.corpus.limits import Limits
from pipeline.corpus.perturb import perturb
from pipeline.corpus.variants import CLEAN, content_id, parse
from pipeline.spec import Parameters, Stage, tuning


class Images(Parameters):
    """The corpus's `limits` of one image: they decide which are asked for, not what is made."""

    limits: Limits = tuning(Limits())


def described(listing: pa.Table) -> pa.Table:
    """Rows of `images` (variant clean) for the contents of a listing, in its order.

    The same content twice is one row; a file that could not be read has no content, and no row. A
    path that does not fit its layout is no fault of the image.
    """
    listing = listing.filter(pc.is_valid(listing["image_id"]))
    first = pc.index_in(pc.unique(listing["image_id"]), value_set=listing["image_id"])
    listing = listing.take(first)
    usable = pc.is_valid(listing["width"])
    columns = {name: listing[name] for name in tables.schema("images").names if name != "variant"}
    columns["error"] = pc.if_else(usable, pa.scalar(None, pa.string()), listing["error"])
    return tables.build("images", {**columns, "variant": [CLEAN] * len(listing)})


def run(inputs: Mapping[str, pa.Table], parameters: Images, models: Sequence[Any] = ()) -> pa.Table:
    """`inputs["images"]` with the facts of their variants: what a file with these pixels would be.

    The rows are clean but for their image_id and variant, and have a uri. Each image is opened.
    width and height are those of the upright, perturbed image. Where the last step is JPEG, format,
    bytes and what is known of a JPEG are that file's; elsewhere they are null, since there is no
    file. An image that cannot be decoded is a failed row; its sha256 stays.
    """
    rows = inputs["images"]
    ids, variants = rows["image_id"].to_pylist(), rows["variant"].to_pylist()

    def measure(image: Image.Image, row: int) -> dict[str, Any]:
        made, data = perturb(image, variants[row], content_id(ids[row]))
        facts = {"width": made.width, "height": made.height, "mode": "RGB", "orientation": 1}
        if data is not None:
            quality = int(parse(variants[row])[-1].amount)
            facts |= {"format": "JPEG", "jpeg_quality": quality, "bytes": len(data)}
            facts |= {"jpeg_tables": jpeg_tables(made), "has_exif": False}
        return facts

    found = rows.select(["image_id", "variant", "sha256"]).to_pylist()
    clean = rows.drop_columns("variant").append_column("variant", pa.array([CLEAN] * len(rows)))
    for row, facts, error in decode(clean, prepare=measure, given=range(len(clean))):
        found[row] |= facts or {"error": error}
    names = tables.schema("images").names
    return tables.build("images", {name: [row.get(name) for row in found] for name in names})


STAGE = Stage(
    name="images",
    version=3,
    inputs=(),
    output="images",
    parameters=Images,
    run=run,
)
