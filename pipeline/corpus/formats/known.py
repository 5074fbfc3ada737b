"""The formats of images that can be read, by Pillow's names; nothing here opens any."""

import re
from dataclasses import dataclass
from importlib.util import find_spec

# Rasters only, and those that corpora are made of: what `corpus.formats` is by default.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000")

# Rasters that are described, and read where `corpus.formats` names them. Pillow would hand an EPS
# file to another program, and draw a WMF one.
OTHERS = (
    *("TGA", "DDS", "ICO", "CUR", "PSD", "PCX", "DCX", "SGI", "QOI", "SUN", "XBM", "XPM", "MSP"),
    *("ICNS", "IM", "FLI", "PIXAR", "BLP", "FTEX", "HEIF", "JXL"),
)
READABLE = (*FORMATS, *OTHERS)


@dataclass(frozen=True)
class Plugin:
    """A package by which Pillow knows a format: ours by the `extra`, how files of it begin."""

    module: str
    extra: str
    start: re.Pattern[bytes]


PLUGINS = {
    "HEIF": Plugin(
        "pillow_heif", "heif", re.compile(rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)
    ),
    "JXL": Plugin("pillow_jxl", "jxl", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
}

NOT_READ = "format not read: "  # how an error begins that another installation may not have


def has_plugin(format: str) -> bool:
    """Whether the package is there that reads a format, for those that need one."""
    return format not in PLUGINS or find_spec(PLUGINS[format].module) is not None
