"""DiffusionForensics and DRCT-2M: fakes of many diffusion models that share their real images."""

from pipeline.corpus.layouts.labels import SPLITS, Folders, Labels, Layout, Misfit

_SOURCES = ("lsun_bedroom", "imagenet", "celebahq")
_DERIVED = ("recons", "dire")


def read_forensics(folders: Folders) -> Labels:
    """DiffusionForensics (Wang et al., ICCV 2023, github.com/ZhendongWang6/DIRE).

    `real` is 0 and any other name a generator's, 1. The reals of a source are shared by all its
    generators, so their generator is the source. `recons` and `dire` hold what the authors'
    method made of the images: no corpus to be asked about.
    """
    if folders and folders[0] in _DERIVED:
        raise Misfit(f"'{folders[0]}' holds no images but what was made of them: use images/")
    rest = folders[1:] if folders[:1] == ("images",) else folders
    if len(rest) < 3:
        raise Misfit("there are not a split, a source and real or a generator above the file")
    split, source, kind, *classes = rest
    if split not in SPLITS:
        raise Misfit(f"'{split}' is none of train, val and test")
    if source not in _SOURCES:
        raise Misfit(f"'{source}' is none of {', '.join(_SOURCES)}")
    label = int(kind != "real")
    class_name = "/".join((source, *classes))
    return Labels(label, kind if label else source, split=split, class_name=class_name)


DIFFUSION_FORENSICS = Layout(
    "diffusion_forensics",
    "[images/]{train,val,test}/{lsun_bedroom,imagenet,celebahq}/{real,GENERATOR}/[CLASS/...]FILE "
    "below the root",
    read_forensics,
    "github.com/ZhendongWang6/DIRE",
    refines=("imagefolder",),
)

_REALS = ("MSCOCO", "mscoco", "coco")
_MODELS = (
    *("ldm-text2im-large-256", "stable-diffusion-v1-4", "stable-diffusion-v1-5"),
    *("stable-diffusion-2-1", "stable-diffusion-xl-base-1.0", "stable-diffusion-xl-refiner-1.0"),
    *("sd-turbo", "sdxl-turbo", "lcm-lora-sdv1-5", "lcm-lora-sdxl", "sd-controlnet-canny"),
    *("sd21-controlnet-canny", "controlnet-canny-sdxl-1.0", "stable-diffusion-inpainting"),
    *("stable-diffusion-2-inpainting", "stable-diffusion-xl-1.0-inpainting-0.1"),
)
# as the authors' loader has it: validation images are taken from train2017, val2017 is the test
_SPLITS = {"train2017": "train", "val2017": "test"}


def read_drct(folders: Folders) -> Labels:
    """DRCT-2M (Chen et al., ICML 2024, github.com/beibuwandeluori/DRCT) beside MSCOCO.

    The 16 folders that are called after models are fakes, MSCOCO's are the reals of all of them.
    What the authors reconstructed (`DR/…/full_inpainting/…`) is neither.
    """
    rest = folders[1:] if folders[:1] == ("DRCT-2M",) else folders
    if len(rest) != 2 or rest[1] not in _SPLITS:
        raise Misfit("the file is not in SET/train2017 or SET/val2017")
    name, years = rest
    if name not in (*_REALS, *_MODELS):
        raise Misfit(f"'{name}' is none of DRCT-2M's models, nor MSCOCO")
    return Labels(int(name in _MODELS), name, split=_SPLITS[years])


DRCT = Layout(
    "drct",
    "[DRCT-2M/]MODEL/{train2017,val2017}/FILE and MSCOCO/{train2017,val2017}/FILE below the root",
    read_drct,
    "github.com/beibuwandeluori/DRCT",
)
