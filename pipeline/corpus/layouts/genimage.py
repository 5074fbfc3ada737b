"""GenImage, with and without the folders of its archives."""

from pipeline.corpus.layouts.labels import Folders, Labels, Layout, Misfit

LABELS = {"nature": 0, "ai": 1}  # by name: in a sorted list `ai` would come first
# what the archives unpack to -> the folder that the publishers keep each archive in
INNER = {
    "imagenet_ai_0419_sdv4": "stable_diffusion_v_1_4",
    "imagenet_ai_0424_sdv5": "stable_diffusion_v_1_5",
    "imagenet_midjourney": "Midjourney",
    "imagenet_ai_0508_adm": "ADM",
    "imagenet_ai_0424_wukong": "wukong",
    "imagenet_glide": "glide",
    "imagenet_ai_0419_vqdm": "VQDM",
    "imagenet_ai_0419_biggan": "BigGAN",
}


def read(folders: Folders) -> Labels:
    """GenImage (Zhu et al., NeurIPS 2023, github.com/GenImage-Dataset/GenImage).

    `ai` is 1 and `nature` is 0. An inner folder, which is the archive's name, tells the generator
    where it is known (`imagenet_ai_0419_sdv4` is `stable_diffusion_v_1_4`); else the outermost
    folder does. The real images of a generator carry its name too. Train and val are the
    publishers' own.
    """
    if not folders or folders[-1] not in LABELS:
        raise Misfit("the file is not in a folder ai or nature")
    if len(folders) not in (3, 4):
        raise Misfit(f"there are {len(folders)} folders above the file, not 3 or 4")
    *above, split, kind = folders
    if split not in ("train", "val"):
        raise Misfit(f"'{split}' is neither train nor val")
    if len(above) == 2 and not above[1].startswith("imagenet"):
        raise Misfit(f"'{above[1]}' is no archive's folder, such as imagenet_ai_0419_sdv4")
    return Labels(LABELS[kind], INNER.get(above[-1], above[0]), split=split)


GENIMAGE = Layout(
    "genimage",
    "GENERATOR/[INNER/]{train,val}/{ai,nature}/FILE or INNER/{train,val}/{ai,nature}/FILE below "
    "the root",
    read,
    "github.com/GenImage-Dataset/GenImage",
    refines=("imagefolder",),
)
