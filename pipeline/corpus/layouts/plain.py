"""Plain folders: named real and fake in any of the usual words, or not named at all."""

from pipeline.corpus.layouts.labels import Folders, Labels, Layout, Misfit
from pipeline.corpus.layouts.vocabulary import NUMBERS, named_label, split_of


def read_imagefolder(folders: Folders) -> Labels:
    """A folder of the vocabulary anywhere above the file says real or fake.

    The numbers 0 and 1 do only where no word does. The first folder that is called after a split
    is the split. What is left above the label is the generator, what is below it the class.
    """
    at = [i for i, name in enumerate(folders) if named_label(name) is not None]
    at = at or [i for i, name in enumerate(folders) if name in NUMBERS]
    if not at:
        raise Misfit("no folder above the file says real or fake")
    said = {_label(folders[i]) for i in at}
    if len(said) > 1:
        names = " and ".join(f"'{folders[i]}'" for i in at)
        raise Misfit(f"{names} above the file contradict each other")
    splits = [i for i, name in enumerate(folders) if split_of(name) is not None and i not in at]
    left = [(i, name) for i, name in enumerate(folders) if i not in (*at, *splits[:1])]
    return Labels(
        said.pop(),
        generator="/".join(name for i, name in left if i < at[0]) or None,
        split=split_of(folders[splits[0]]) if splits else None,
        class_name="/".join(name for i, name in left if i > at[0]) or None,
    )


def _label(word: str) -> int:
    named = named_label(word)
    return NUMBERS[word] if named is None else named


IMAGEFOLDER = Layout(
    "imagefolder",
    "a folder above each FILE called real, nature, authentic, 0_real, 0 or the like, or fake, ai, "
    "synthetic, 1_fake, 1 or the like; train, val or test, and a generator above it, if you like",
    read_imagefolder,
)


def read_unlabelled(folders: Folders) -> Labels:
    """Plain images: no label; the class name is the folder's path below the root, if any."""
    return Labels(class_name="/".join(folders) or None)


UNLABELLED = Layout(
    "unlabelled", "images in any folders; no label, the class is the folder", read_unlabelled
)
