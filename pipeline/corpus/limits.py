"""What a corpus lets one image cost, and in which formats it takes images.

A matter of what is asked for, not of what is computed: an image that one corpus refuses is a failed
row of its listing, with all its facts, and is asked for nowhere else; another corpus may take it.
"""

import re
from collections.abc import Iterable

import pyarrow as pa
from pydantic import ByteSize, Field

from pipeline.corpus.formats.known import FORMATS, PLUGINS, READABLE, has_plugin
from pipeline.errors import nearest, refused
from pipeline.spec import Parameters, tuning

_KEY = b"limits"

DEFAULT = "default"  # in `formats`: all of FORMATS
# what people call formats that Pillow calls otherwise
_ALSO = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000", "PNM": "PPM"}


class Limits(Parameters):
    """Of one image: `seconds` to decode it, its pixels, and the `bytes` that decoding may take.

    The last two are known from its header, so they are checked before anything is spent; `bytes`
    are those of the decoded image and all that is made on the way to upright RGB, at any moment
    (`corpus.budget.peak`). What every camera writes fits into the default: a JPEG of 179 megapixels
    that is to be turned takes 1.34 GiB.
    """

    seconds: float = tuning(30.0, gt=0)
    megapixels: float = Field(179.0, gt=0)
    bytes: ByteSize = Field(ByteSize(3 * 2**29), gt=0)

    def excess(self, width: int, height: int, needed: int) -> str | None:
        """Why an image of this size, which needs so many bytes, costs too much; None: it does not.

        In words that name the limit.
        """
        if width * height > self.megapixels * 1e6:
            return (
                f"image is too large: {width}x{height} is over {self.megapixels:g} megapixels "
                "(corpus.limits.megapixels)"
            )
        if needed > self.bytes:
            return (
                f"image is too large: decoding {width}x{height} pixels would take "
                f"{needed / 2**20:,.0f} MiB, over {self.bytes / 2**20:,.0f} (corpus.limits.bytes)"
            )
        return None


def with_limits(images: pa.Table, limits: Limits) -> pa.Table:
    """The table `images` with the limits that its images are decoded within, in its metadata.

    There they go wherever rows of it go: through slices, and into other processes.
    """
    known = images.schema.metadata or {}
    return images.replace_schema_metadata({**known, _KEY: limits.model_dump_json()})


def of_table(images: pa.Table) -> Limits:
    """The limits that a table carries; the usual ones where it has none."""
    said = (images.schema.metadata or {}).get(_KEY)
    return Limits.model_validate_json(said) if said else Limits()


def refusal(
    format: str | None,
    width: int | None,
    height: int | None,
    needed: int | None,
    formats: Iterable[str],
    limits: Limits,
) -> str | None:
    """Why a corpus does not take an image that has these facts: a row's error, or None."""
    if format is None or width is None or height is None:
        return None
    if format not in formats:
        return refused(f"format not read: {format} (to read it: corpus.formats)")
    why = limits.excess(width, height, needed or 0)
    return why and refused(why)


def check_formats(given: tuple[str, ...]) -> tuple[str, ...]:
    """Formats by Pillow's names, each once, of names as people write them; ValueError for others.

    Also for one that needs a package which is not installed.
    """
    found: dict[str, None] = {}
    for name in given:
        if name.lower() == DEFAULT:
            found |= dict.fromkeys(FORMATS)
            continue
        plain = re.sub(r"[^A-Z0-9]", "", name.upper())
        plain = _ALSO.get(plain, plain)
        if plain not in READABLE:
            raise ValueError(
                f"there is no format '{name}' that is read: {nearest(plain, READABLE)}"
            )
        if not has_plugin(plain):
            raise ValueError(
                f"{plain} needs a package: pip install 'item-pipeline[{PLUGINS[plain].extra}]'"
            )
        found[plain] = None
    if not found:
        raise ValueError("at least one format, such as [default, TGA]")
    return tuple(found)
