"""Mutated images through description and decoding: `python -m tests.benchmarks.fuzz`.

Each of `--images` files is one of ours, in one of 26 kinds, with bytes changed, cut out, put in,
cut off, or joined to another file. Asked is that each gives facts or an `error`, that what cannot
be described cannot be decoded, and that decoding gives an RGB image or an ImageError: anything else
ends the run with the number of the file, which `--first` repeats.
"""

import argparse
import io
import random
import time
from collections import Counter
from functools import cache
from resource import RUSAGE_SELF, getrusage

import numpy as np
from PIL import Image, PngImagePlugin

from pipeline.corpus.file_facts import describe
from pipeline.corpus.opened import ImageError
from pipeline.corpus.upright import decode_bytes

_TURNED = Image.Exif()
_TURNED[0x0112] = 6


@cache
def originals() -> list[tuple[str, bytes]]:
    """(format, file) of a smooth and a noisy picture in every kind."""
    smooth = np.add.outer(np.arange(40), np.arange(56))[..., None] * [2.0, 3.0, 1.6] % 256
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3))
    found = []
    for pixels in (smooth, noise):
        image = Image.fromarray(pixels.astype(np.uint8))
        words = PngImagePlugin.PngInfo()
        words.add_text("words", "more words" * 50, zip=True)
        kinds = [
            (image, "JPEG", {"exif": _TURNED, "icc_profile": b"x" * 300, "comment": b"words"}),
            (image, "JPEG", {"progressive": True}),
            (image, "JPEG", {"restart_marker_blocks": 2}),
            (image.convert("CMYK"), "JPEG", {}),
            (image, "PNG", {"pnginfo": words, "exif": _TURNED}),
            (image.convert("RGBA"), "PNG", {}),
            (image.quantize(16), "PNG", {"transparency": 3}),
            (image.convert("1"), "PNG", {}),
            (image, "GIF", {"comment": b"words"}),
            (image, "WEBP", {"exif": _TURNED}),
            (image, "WEBP", {"lossless": True}),
        ]
        packed = (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        kinds += [(image, "TIFF", {"compression": c, "tiffinfo": {270: "words"}}) for c in packed]
        others = ("BMP", "PPM", "AVIF", "JPEG2000", "TGA", "DDS", "ICO", "PCX", "SGI", "QOI")
        kinds += [(image, name, {}) for name in others]
        for one, name, options in kinds:
            stream = io.BytesIO()
            one.save(stream, name, **options)
            found.append((name, stream.getvalue()))
    return found


def mutated(number: int) -> tuple[str, bytes]:
    """The format that it was, and a file: the same for the same number."""
    rng = random.Random(number)
    name, data = rng.choice(originals())
    data = bytearray(data)
    how, place = rng.random(), rng.randrange(len(data))
    if how < 0.5:
        for _ in range(rng.randint(1, 12)):
            reach = rng.choice((64, 512, len(data)))  # headers most of all
            data[rng.randrange(min(len(data), reach))] = rng.choice((0, 127, 128, 255, place % 256))
    elif how < 0.65:
        del data[place:]
    elif how < 0.75:
        data[place:] = b"\xff\xd9"
    elif how < 0.85:
        del data[place : place + rng.randint(1, 200)]
    elif how < 0.95:
        data[place:place] = rng.randbytes(rng.randint(1, 100))
    else:
        other = rng.choice(originals())[1]
        data[place:] = other[rng.randrange(len(other)) :]
    return name, bytes(data)


def outcome(data: bytes) -> str:
    """`decoded` or `error`; AssertionError where both views of a file do not agree."""
    facts = describe(data)
    try:
        image = decode_bytes(data)
    except ImageError as error:
        assert str(error)
        return "error"
    assert (image.mode, facts.error) == ("RGB", None), facts
    assert sorted(image.size) == sorted((facts.width, facts.height))
    return "decoded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    slowest, started = (0.0, 0), time.perf_counter()
    for number in range(options.first, options.first + options.images):
        _, data = mutated(number)
        before = time.perf_counter()
        try:
            counts[outcome(data)] += 1
        except BaseException as error:
            raise SystemExit(f"file {number}: {type(error).__name__}: {error}") from error
        slowest = max(slowest, (time.perf_counter() - before, number))
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{options.images:,} files in {time.perf_counter() - started:.0f} s: {said}")
    print(f"slowest: {slowest[0]:.2f} s (file {slowest[1]}); {peak:.0f} MiB at most")


if __name__ == "__main__":
    main()
