"""What is found in a corpus: its image files, and what was passed over."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

import pyarrow as pa

from pipeline.corpus import names as spelt
from pipeline.errors import TRANSIENT, UserError

# lower case: the names of images in all formats that can be read (`corpus.opened`), so that one
# that a corpus does not ask for is a row that says so
SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff "
    ".ppm .pgm .pbm .pnm .avif .jp2 .j2k .jpx .heic .heif .hif .jxl "
    ".tga .dds .ico .cur .psd .pcx .dcx .sgi .qoi .ras .xbm .xpm .icns .pxr .blp"
)
IMAGE_SUFFIXES = frozenset(SUFFIXES.split())

# what a table, or files beside an image, say of it; in a folder all of it is null
SAID = ("label", "generator", "dataset", "split", "class_name", "released", "caption")
FIELDS = {
    **dict.fromkeys(SAID, pa.string()),
    "label": pa.int8(),  # 0 real, 1 fake
    "problem": pa.string(),  # why they cannot be read, or why this cannot be listed
}

FILES = pa.schema(
    [
        ("uri", pa.string()),  # what `read_bytes` takes; see `corpus.names`, `members`
        ("path", pa.string()),  # relative to the root, posix
        ("bytes", pa.int64()),
        ("stamp", pa.string()),  # time of change in ns, or what the filesystem has like an etag
        *FIELDS.items(),
    ]
)

# keys of `Found.ignored` beside the suffixes
HIDDEN = "(hidden)"
NO_SUFFIX = "(no suffix)"
LINK_LOOP = "(link to a folder above)"
NOT_A_FILE = "(not a regular file)"


@dataclass(frozen=True)
class Found:
    """The image files under a root, and what was passed over.

    Those of a folder are in the code-point order of `path`, those of a table in its own, those of
    archives in that of the archives' names, and in each as they lie there. `files` has the schema
    FILES; bytes and stamp are null where they are not known. `unlisted`, of the same schema, is
    what cannot be listed, with its `problem`: folders, whole archives, damaged stretches of them,
    rows that name nothing; such a `path` ends in `/`. `beside` counts files by suffix that say
    something of images; `says`: whether the source can say something of them at all.
    `ignored` counts entries by lower-case suffix (`.csv`), or by a reason in parentheses: hidden
    files and folders and `__MACOSX` (each folder counts once), names without a suffix, links to a
    folder above themselves, and names of images that are pipes, sockets or devices.
    """

    files: pa.Table
    ignored: dict[str, int] = field(default_factory=dict)
    unlisted: pa.Table = field(default_factory=FILES.empty_table)
    beside: dict[str, int] = field(default_factory=dict)
    says: bool = False


def suffix_of(name: str) -> str:
    """The suffix of a name in lower case, for people to read; NO_SUFFIX where it has none."""
    stem, _, suffix = name.rpartition(".")
    return spelt.readable(spelt.path_of(f".{suffix.lower()}")) if stem and suffix else NO_SUFFIX


def raise_nothing_found(root: str, ignored: Counter[str], unlisted: pa.Table) -> NoReturn:
    """The UserError of a root without any image that can be found: what is there instead."""
    if len(unlisted):
        what = "folder, archive or row" if len(unlisted) == 1 else "folders, archives or rows"
        first = unlisted.select(["path", "problem"]).slice(0, 1).to_pylist()[0]
        raise UserError(
            f"there are no images below the corpus root, and {len(unlisted)} {what} cannot be "
            "listed",
            f"{root}: {spelt.readable(first['path'])}: {first['problem'].removeprefix(TRANSIENT)}",
            "make them readable, or correct `corpus.root`",
        )
    if not ignored:
        raise UserError("the corpus root is empty", root, "put images there, or correct the path")
    seen = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5))
    raise UserError(
        f"there are no images below the corpus root, only: {seen}",
        root,
        f"point `corpus.root` at the images; file names must end in one of {SUFFIXES}",
    )
