"""ForenSynths, and UnivFD's diffusion sets, which come beside it."""

from collections.abc import Collection

from pipeline.corpus.layouts.labels import SPLITS, Doubt, Folders, Labels, Layout, Misfit
from pipeline.corpus.layouts.vocabulary import is_generator

LABELS = {"0_real": 0, "1_fake": 1}
# the classes of ProGAN (LSUN's 20 objects), and those of CycleGAN, StyleGAN and StyleGAN2
_CLASSES = (
    "airplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor apple orange summer winter zebra bedroom "
    "church"
)
CLASSES = frozenset(_CLASSES.split())


def read(folders: Folders) -> Labels:
    """ForenSynths and its many followers (Wang et al. 2020, github.com/PeterWang512/CNNDetection).

    The label is the name of the file's own folder, never its place in a sorted list. The real
    images of a generator carry its name too: they are the reals that it is tested against.
    """
    split, rest = _split(folders)
    if not rest or rest[-1] not in LABELS:
        raise Misfit("the file is not in a folder 0_real or 1_fake")
    generator, *classes = rest[:-1] or (None,)
    if generator is None:
        raise Misfit(f"there is no generator's folder above {rest[-1]}")
    if {generator, *classes} & LABELS.keys():
        raise Misfit("there is more than one folder 0_real or 1_fake above the file")
    return Labels(LABELS[rest[-1]], generator, split=split, class_name="/".join(classes) or None)


def _split(folders: Folders) -> tuple[str | None, Folders]:
    split = folders[0] if folders and folders[0] in SPLITS else None
    return split, folders[1:] if split else folders


def doubts(places: Collection[Folders], root: str) -> Doubt | None:
    """A root above the generators, all of them read as one, or below one, its classes read as many.

    Folders of classes are as good as folders of generators to every path alone: known names tell.
    """
    below: dict[str, set[str]] = {}
    splits = set()
    for folders in places:
        split, rest = _split(folders)
        if rest and rest[-1] in LABELS:
            splits.add(split)
            below.setdefault(rest[0], set()).add(rest[1] if len(rest) > 2 else "")
    strange = {name: inner for name, inner in below.items() if not is_generator(name)}
    above = {name: inner for name, inner in strange.items() if "" not in inner}
    for name, inner in above.items():
        known = sorted(one for one in inner if is_generator(one) or one in SPLITS)
        if known:
            what = f"'{name}' would be one generator, and {_some(known)} below it its classes"
            return Doubt(what, name, sure=len(below) == 1 and splits == {None})
    if is_generator(root) and len(strange) == len(below) > 0:
        what = f"each folder of the generator {root} would be a generator: {_some(sorted(below))}"
        return Doubt(what, "..", sure=below.keys() <= CLASSES)
    if len(above) == len(below) == 1 and len(inner := next(iter(above.values()))) > 1:
        (name,) = above
        what = f"all images are of one generator '{name}', with {_some(sorted(inner))} its classes"
        return Doubt(what, name, sure=False)
    if root in SPLITS and splits == {None}:
        return Doubt(
            f"the root is itself a folder '{root}', which is read as no split", "..", False
        )
    return None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


FORENSYNTHS = Layout(
    "forensynths",
    "[train|val|test/]GENERATOR/[CLASS/...]{0_real,1_fake}/FILE below the root",
    read,
    "github.com/PeterWang512/CNNDetection",
    refines=("imagefolder",),
    doubts=doubts,
)

# UnivFD's sets: these two are the reals of all the others
REAL_SETS = ("imagenet", "laion")
FAKE_SETS = (
    *("guided", "ldm_200", "ldm_200_cfg", "ldm_100", "glide_100_27", "glide_50_27"),
    *("glide_100_10", "dalle"),
)
_DIFFUSION = "diffusion_datasets"


def read_univfd(folders: Folders) -> Labels:
    """UnivFD (Ojha et al. 2023, github.com/WisconsinAIVision/UniversalFakeDetect) as it unpacks.

    `imagenet` holds the reals of `guided`, `laion` those of the other diffusion models: sets of
    their own, whose generator is their name, of the split test. All else, in `datasets` or beside
    it, is read as ForenSynths, with whose ProGAN images it is trained.
    """
    in_sets = folders[:1] == (_DIFFUSION,)
    rest = folders[1:] if in_sets else folders
    name = rest[0] if rest else ""
    if not in_sets and name not in (*REAL_SETS, *FAKE_SETS):
        return read(folders[1:] if folders[:1] == ("datasets",) else folders)
    if name not in (*REAL_SETS, *FAKE_SETS):
        raise Misfit(f"'{name}' is none of UnivFD's diffusion sets")
    if len(rest) < 2 or rest[1] not in LABELS:
        raise Misfit(f"the file is not in a folder 0_real or 1_fake of {name}")
    if LABELS[rest[1]] != (name in FAKE_SETS):
        kind = "fakes" if name in FAKE_SETS else "reals"
        raise Misfit(f"UnivFD's {name} has only {kind}: the layout forensynths reads copies of it")
    return Labels(LABELS[rest[1]], name, split="test", class_name="/".join(rest[2:]) or None)


def doubts_univfd(places: Collection[Folders], root: str) -> Doubt | None:
    """A root above `diffusion_datasets`; else, of what is no diffusion set, as of ForenSynths."""
    for folders in places:
        if _DIFFUSION in folders[1:]:
            above = "/".join(folders[: folders.index(_DIFFUSION)])
            return Doubt(f"{_DIFFUSION} lies in '{above}', not in the root", above, sure=True)
    others = [folders for folders in places if not {*folders[:2]} & {*REAL_SETS, *FAKE_SETS}]
    return doubts([one[1:] if one[:1] == ("datasets",) else one for one in others], root)


def _has_shared_reals(places: Collection[Folders]) -> bool:
    sets = {name for folders in places for name in folders[:2]}
    return bool(sets & set(REAL_SETS)) and bool(sets & set(FAKE_SETS))


UNIVFD_DIFFUSION = Layout(
    "univfd_diffusion",
    "[diffusion_datasets/]{imagenet,laion}/0_real/FILE and [diffusion_datasets/]{guided,ldm_200,"
    "ldm_200_cfg,ldm_100,glide_100_27,glide_50_27,glide_100_10,dalle}/1_fake/FILE below the root, "
    "beside [datasets/] as of forensynths",
    read_univfd,
    "github.com/WisconsinAIVision/UniversalFakeDetect",
    refines=("forensynths", "imagefolder"),
    signs=_has_shared_reals,
    doubts=doubts_univfd,
)
