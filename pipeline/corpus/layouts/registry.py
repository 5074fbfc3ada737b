"""Layouts: how labels sit in the paths of a corpus.

A layout is one function from the folders of a path (relative to the root, without the file name) to
`Labels`, registered under its name with a line that says what it expects. It raises `Misfit` for a
path that it cannot read: such a file stays in the listing, without labels and with the reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import UserError, nearest

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Labels:
    """What a path says of an image; None where it does not say."""

    label: int | None = None  # 0 real, 1 fake
    generator: str | None = None
    dataset: str | None = None
    split: str | None = None  # train, val or test
    class_name: str | None = None


@dataclass(frozen=True)
class Layout:
    """A named layout; `read` takes the folder names of a path, outermost first."""

    name: str
    expects: str
    read: Callable[[tuple[str, ...]], Labels]


class Misfit(ValueError):
    """A path that does not fit the layout; the message says why."""


LAYOUTS: dict[str, Layout] = {}


def layout(name: str, expects: str) -> Callable[[Callable], Callable]:
    """Registers the decorated function as the layout `name`."""

    def register(read: Callable[[tuple[str, ...]], Labels]) -> Callable:
        LAYOUTS[name] = Layout(name, expects, read)
        return read

    return register


def get_layout(name: str) -> Layout:
    """The layout called `name`; UserError with the nearest known name."""
    if name not in LAYOUTS:
        raise UserError(f"there is no layout '{name}'", "corpus.layout", nearest(name, LAYOUTS))
    return LAYOUTS[name]


def labels(layout: str, relative_path: str, dataset: str | None = None) -> Labels:
    """The labels of one file, from its path relative to the root (posix).

    `dataset` names the corpus where the layout itself does not. Raises Misfit for a path that does
    not fit, UserError for an unknown layout.
    """
    found = get_layout(layout)
    try:
        read = found.read(tuple(relative_path.split("/")[:-1]))
    except Misfit as error:
        raise Misfit(f"path does not fit the layout {layout}: {error}") from None
    return read if read.dataset else replace(read, dataset=dataset)


def count_misfits(layout: str, relative_paths: Sequence[str]) -> int:
    """How many paths do not fit; UserError with examples when there are paths and none fits."""
    expects = get_layout(layout).expects
    misfits, why = 0, ""
    for path in relative_paths:
        try:
            labels(layout, path)
        except Misfit as error:
            misfits, why = misfits + 1, why or str(error)
    if misfits and misfits == len(relative_paths):
        examples = " and ".join(repr(path) for path in relative_paths[:2])
        raise UserError(
            f"no file fits the layout {layout}, which expects {expects}",
            f"for example {examples} ({why})",
            "point `corpus.root` at the folder that holds these levels, or choose another "
            f"`corpus.layout`: {', '.join(sorted(LAYOUTS))}",
        )
    return misfits


@layout("folder", expects="images in any folders; no label, the class is the folder")
def folder(folders: tuple[str, ...]) -> Labels:
    """Plain images: unlabelled, the class name is the folder's path below the root, if any."""
    return Labels(class_name="/".join(folders) or None)


FORENSYNTHS_LABELS = {"0_real": 0, "1_fake": 1}


@layout(
    "forensynths",
    expects="[train|val|test/]GENERATOR/[CLASS/...]{0_real,1_fake}/FILE below the root",
)
def forensynths(folders: tuple[str, ...]) -> Labels:
    """ForenSynths and its many followers (Wang et al. 2020, github.com/PeterWang512/CNNDetection).

    The label is the name of the file's own folder, never its place in a sorted list. The real
    images of a generator carry its name too: they are the reals that it is tested against.
    """
    split = folders[0] if folders and folders[0] in SPLITS else None
    rest = folders[1:] if split else folders
    if not rest or rest[-1] not in FORENSYNTHS_LABELS:
        raise Misfit("the file is not in a folder 0_real or 1_fake")
    generator, *classes = rest[:-1] or (None,)
    if generator is None:
        raise Misfit(f"there is no generator's folder above {rest[-1]}")
    if {generator, *classes} & FORENSYNTHS_LABELS.keys():
        raise Misfit("there is more than one folder 0_real or 1_fake above the file")
    label = FORENSYNTHS_LABELS[rest[-1]]
    return Labels(label, generator, split=split, class_name="/".join(classes) or None)


GENIMAGE_LABELS = {"nature": 0, "ai": 1}  # by name: in a sorted list `ai` would come first


@layout("genimage", expects="GENERATOR/INNER/{train,val}/{ai,nature}/FILE below the root")
def genimage(folders: tuple[str, ...]) -> Labels:
    """GenImage (Zhu et al., NeurIPS 2023, github.com/GenImage-Dataset/GenImage) as it unpacks.

    `ai` is 1 and `nature` is 0. The generator is the outermost folder (`Midjourney`), not the
    archive's name below it; its real images carry it too. Train and val are the publishers' own.
    """
    if not folders or folders[-1] not in GENIMAGE_LABELS:
        raise Misfit("the file is not in a folder ai or nature")
    if len(folders) != 4:
        raise Misfit(f"there are {len(folders)} folders above the file, not 4")
    generator, _, split, kind = folders
    if split not in ("train", "val"):
        raise Misfit(f"'{split}' is neither train nor val")
    return Labels(GENIMAGE_LABELS[kind], generator, split=split)
