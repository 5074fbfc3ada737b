"""Peak memory and seconds of decoding hostile files, each in a process of its own.

    python -m tests.benchmarks.hostile [NAME ...]

What is decoded goes through the transform that published CLIPs have too: the shorter side to 224
pixels, and the middle of it. The peak is what the process grew by, libraries left out; it gets
no more than 12 GiB of addresses.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers import hostile as make

_LIMIT = 12 * 2**30  # bytes of address space: what wants more gets a MemoryError

_FILES: dict[str, Callable[[], bytes]] = {
    "ordinary JPEG 4000x3000": lambda: make.saved("RGB", (4000, 3000), "JPEG"),
    "69-byte PNG 1x80000000": lambda: make.empty_png(1, 80_000_000),
    "PNG 1x40000": lambda: make.png(1, 40_000, 0),
    "PNG 1x100000": lambda: make.png(1, 100_000, 0),
    "PNG 100000x1": lambda: make.png(100_000, 1, 0),
    "PNG RGBA 13300x13300": lambda: make.png(13_300, 13_300, 6),
    "PNG grey+alpha 13300x13300": lambda: make.png(13_300, 13_300, 4),
    "PNG 16-bit grey 13300x13300": lambda: make.png(13_300, 13_300, 0, 16),
    "PNG RGB 13300x13300": lambda: make.png(13_300, 13_300, 2),
    "TIFF one strip 13300x13300": lambda: make.tiff(13_300, 13_300),
    "TIFF 64x64, tile 32768x32768": lambda: make.tiff(64, 64, (32_768, 32_768)),
    "GIF canvas 13300x13300": lambda: make.gif(13_300, 13_300),
    "WebP 13300x13300": lambda: make.saved("RGB", (13_300, 13_300), "WEBP", method=0, quality=1),
    "JPEG2000 13300x13300": lambda: make.saved("L", (13_300, 13_300), "JPEG2000"),
    "CMYK JPEG 13300x13300": lambda: make.saved("CMYK", (13_300, 13_300), "JPEG"),
    "rotated JPEG 13300x13300": lambda: make.saved(
        "RGB", (13_300, 13_300), "JPEG", exif=_rotated()
    ),
    "progressive JPEG 13300x13300": lambda: make.saved(
        "RGB", (13_300, 13_300), "JPEG", progressive=True, subsampling=0
    ),
    "JPEG of 3000 scans": lambda: make.jpeg_of_scans(3000),
    "PNG with 60 MB of text": lambda: make.png(8, 8, before=make.text(60_000_000)),
}


def _rotated() -> object:
    from PIL import Image

    block = Image.Exif()
    block[0x0112] = 6
    return block


def child(path: str) -> None:
    """Decodes and transforms one file; prints what became of it, MiB and seconds."""
    import open_clip.transform
    import torch  # noqa: F401

    from pipeline.corpus.upright import decode_bytes
    from pipeline.models.clip.pixels import Pixels

    data = Path(path).read_bytes()
    pixels = Pixels(open_clip.transform.image_transform(224, is_train=False))
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))
    before, started = _peak(), time.perf_counter()
    try:
        said = f"ok {pixels.prepare(decode_bytes(data)).shape}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(f"{_peak() - before:8.0f} {time.perf_counter() - started:7.2f}  {said[:110]}")


def _peak() -> float:
    # not getrusage's: that of a new process begins with its parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main(wanted: list[str]) -> None:
    """A line for each file."""
    print(f"{'file':32} {'bytes':>9} {'MiB':>8} {'s':>7}  what became of it")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for name, made in _FILES.items():
            if wanted and not any(part in name for part in wanted):
                continue
            path.write_bytes(made())
            command = [sys.executable, "-m", __spec__.name, "--child", str(path)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            line = answer.stdout.strip() or f"ended with status {answer.returncode}"
            print(f"{name:32} {path.stat().st_size:9} {line}", flush=True)


if __name__ == "__main__":
    child(sys.argv[2]) if sys.argv[1:2] == ["--child"] else main(sys.argv[1:])
