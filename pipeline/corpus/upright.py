"""One image: from a file's bytes to upright RGB pixels, in the variant that its row names."""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from threading import Lock
from time import monotonic
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps

from pipeline.corpus import budget, whole
from pipeline.corpus.limits import Limits
from pipeline.corpus.noise import overheard
from pipeline.corpus.opened import ImageError, open_image, orientation, stripped
from pipeline.corpus.perturb import perturb
from pipeline.corpus.sources.filesystems import reason
from pipeline.corpus.sources.read import read_bytes
from pipeline.errors import NOT_THE_ROWS, reason_of, transient, worded

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_USUAL = Limits()

Made = TypeVar("Made")


class Row(NamedTuple):
    """What the table `images` says of one image that is to be decoded."""

    number: int  # of the row in its table
    uri: str
    sha256: str
    variant: str
    error: str | None
    limits: Limits = _USUAL

    @property
    def key(self) -> tuple[str, str]:
        """What decides the pixels: the content, and the variant it is in."""
        return self.sha256, self.variant


# one image at a time tries again where memory ran out: another one may have had it
_alone = Lock()


def attempt(work: Callable[[], Made]) -> tuple[Made | None, str | None]:
    """(what `work` makes of one image, None), or (None, why not) in words.

    Raises what no image is to blame for (`NOT_THE_ROWS`). What runs out of memory beside others is
    tried once more when it is its turn.
    """
    try:
        try:
            return work(), None
        except MemoryError:
            with _alone:
                return work(), None
    except NOT_THE_ROWS:
        raise
    except ImageError as error:
        return None, str(error)
    except Exception as error:  # a model's own transform may raise anything on an odd image
        return None, reason_of(error)


def content(row: Row) -> bytes:
    """The file's content; ImageError when it cannot be read, or is not what was listed."""
    if row.error:
        raise ImageError(row.error)
    try:
        data = read_bytes(row.uri)
    except OSError as error:
        raise ImageError(transient(f"file cannot be read: {reason(error)}")) from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise ImageError(transient("file has changed since it was listed (its SHA-256 differs)"))
    return data


def picture(row: Row, data: bytes) -> Image.Image:
    """The upright RGB image of a file's content, in the row's variant; ImageError if there is none.

    The perturbation is drawn from the content, so it is the same wherever it is made.
    """
    return perturb(decode_bytes(data, row.limits), row.variant, row.sha256[:32])[0]


def decode_bytes(data: bytes, limits: Limits = _USUAL) -> Image.Image:
    """One upright RGB image from a file's content; ImageError when it is no whole image.

    EXIF orientation is applied. Transparency is laid over white, as a viewer shows it. Of an
    animation the first frame is taken. 16-bit grey is divided by 257 (its full range becomes
    0..255, where Pillow's own conversion would clip); 16-bit colour is cut to 8 bits by Pillow.
    What `limits` do not allow is an error, before memory is taken for it.
    CMYK is converted without a colour profile, and embedded profiles are not applied. 32-bit and
    floating point greys have no agreed range, so they are errors.
    """
    # another library may have set it; half an image must never pass for a whole one
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    data = stripped(data)
    budget.check_unopened(data, limits)
    image = open_image(data, monotonic() + limits.seconds)
    budget.check(image, data, limits)
    whole.check_before(image)
    inverted = image.mode.startswith("I;16") and _white_is_zero(image)
    said: list[str] = []
    try:
        with overheard() if image.format == "TIFF" else nullcontext(said) as said:
            image.load()
        whole.check_after(image, data)
        # read in `check` already: behind its pixels a PNG may bring another one, never described
        turn = _UPRIGHT.get(orientation(image))  # none any more for TIFF: Pillow turns it in load
        image = _rgb(image)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise anything on damaged data
        why = [str(error).strip() or worded(error), *said[:1]]
        raise ImageError("; ".join(why)) from error
    if inverted:
        image = ImageOps.invert(image)
    return image if turn is None else image.transpose(turn)


def _white_is_zero(image: Image.Image) -> bool:
    """Of a TIFF: Pillow inverts such greys of up to 8 bits, and leaves those of 16 as they are."""
    return getattr(image, "tag_v2", {}).get(262) == 0


def _rgb(image: Image.Image) -> Image.Image:
    """The image as RGB; a large one tile by tile, which gives the same and takes no more memory."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in ("I", "F") and not (image.mode == "I" and image.format in ("PNG", "PPM")):
        raise ImageError(
            f"grey values of mode {image.mode} have no agreed range: save 8 or 16 bits"
        )
    if image.width * image.height <= budget.TILE:
        return _converted(image)
    out = Image.new("RGB", image.size)
    for box in budget.tiles(image.size):
        out.paste(_converted(image.crop(box)), box)
    return out


def _converted(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow reads 16-bit PGM as mode I
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")
