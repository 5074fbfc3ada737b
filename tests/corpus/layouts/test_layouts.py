import pytest

from pipeline.corpus.layouts.labels import Labels, Misfit
from pipeline.corpus.layouts.registry import LAYOUTS, NAMES, Reading, check_name


def labels(layout, path, **more):
    return Reading(layout, **more).labels(path)


FITS = {
    "forensynths": {
        "progan/0_real/1.png": Labels(0, "progan"),
        "progan/1_fake/1.png": Labels(1, "progan"),
        "progan/cat/0_real/1.png": Labels(0, "progan", class_name="cat"),
        "test/progan/cat/1_fake/1.png": Labels(1, "progan", split="test", class_name="cat"),
        "train/biggan/1_fake/1.png": Labels(1, "biggan", split="train"),
        "val/gan/a/b/0_real/1.png": Labels(0, "gan", split="val", class_name="a/b"),
        "sd v1.5/test/1_fake/ü.JPG": Labels(1, "sd v1.5", class_name="test"),
    },
    "univfd_diffusion": {
        "imagenet/0_real/a.png": Labels(0, "imagenet", split="test"),
        "laion/0_real/a.png": Labels(0, "laion", split="test"),
        "diffusion_datasets/laion/0_real/a.png": Labels(0, "laion", split="test"),
        "guided/1_fake/a.png": Labels(1, "guided", split="test"),
        "diffusion_datasets/ldm_200_cfg/1_fake/a.png": Labels(1, "ldm_200_cfg", split="test"),
        "glide_100_27/1_fake/x/a.png": Labels(1, "glide_100_27", split="test", class_name="x"),
        "train/progan/cat/0_real/a.png": Labels(0, "progan", split="train", class_name="cat"),
        "datasets/test/san/1_fake/a.png": Labels(1, "san", split="test"),
    },
    "genimage": {
        "ADM/imagenet_ai_0508_adm/train/ai/0.PNG": Labels(1, "ADM", split="train"),
        "ADM/imagenet_ai_0508_adm/val/nature/n.JPEG": Labels(0, "ADM", split="val"),
        "imagenet_ai_0419_sdv4/train/ai/0.PNG": Labels(1, "stable_diffusion_v_1_4", split="train"),
        "SD14/imagenet_ai_0419_sdv4/val/nature/x.JPEG": Labels(
            0, "stable_diffusion_v_1_4", split="val"
        ),
        "imagenet_glide/val/ai/0.png": Labels(1, "glide", split="val"),
        "Stable Diffusion V1.4/train/nature/x.JPEG": Labels(
            0, "Stable Diffusion V1.4", split="train"
        ),
        "mine/imagenet_mine/train/ai/0.png": Labels(1, "mine", split="train"),
    },
    "diffusion_forensics": {
        "images/train/lsun_bedroom/real/1.jpg": Labels(
            0, "lsun_bedroom", split="train", class_name="lsun_bedroom"
        ),
        "test/imagenet/adm/0/yyy.png": Labels(1, "adm", split="test", class_name="imagenet/0"),
        "val/imagenet/real/n0144/x.JPEG": Labels(
            0, "imagenet", split="val", class_name="imagenet/n0144"
        ),
        "images/test/celebahq/dalle2/1.png": Labels(
            1, "dalle2", split="test", class_name="celebahq"
        ),
    },
    "drct": {
        "MSCOCO/train2017/1.jpg": Labels(0, "MSCOCO", split="train"),
        "MSCOCO/val2017/1.jpg": Labels(0, "MSCOCO", split="test"),
        "stable-diffusion-v1-4/train2017/1.png": Labels(1, "stable-diffusion-v1-4", split="train"),
        "DRCT-2M/sdxl-turbo/val2017/1.png": Labels(1, "sdxl-turbo", split="test"),
    },
    "imagefolder": {
        "real/a.png": Labels(0),
        "FAKE/a.png": Labels(1),
        "0/a.png": Labels(0),
        "1/a.png": Labels(1),
        "train/REAL/1/a.png": Labels(0, split="train", class_name="1"),
        "AI-generated/valid/a.png": Labels(1, split="val"),
        "sdxl/synthetic/cats/a.png": Labels(1, "sdxl", class_name="cats"),
        "sdxl/test/nature/a.png": Labels(0, "sdxl", split="test"),
        "0_real/real/a.png": Labels(0),
    },
    "unlabelled": {
        "a.png": Labels(),
        "x/y/0_real/a.png": Labels(class_name="x/y/0_real"),
    },
}
MISFITS = {
    "forensynths": {
        "a.png": "not in a folder 0_real or 1_fake",
        "progan/1_FAKE/a.png": "not in a folder 0_real or 1_fake",
        "progan/0_real/deeper/a.png": "not in a folder 0_real or 1_fake",
        "0_real/a.png": "no generator's folder above 0_real",
        "test/1_fake/a.png": "no generator's folder above 1_fake",
        "progan/1_fake/0_real/a.png": "more than one folder",
    },
    "univfd_diffusion": {
        "guided/0_real/a.png": "guided has only fakes",
        "laion/1_fake/a.png": "laion has only reals",
        "diffusion_datasets/sdxl/1_fake/a.png": "'sdxl' is none of UnivFD's",
        "dalle/a.png": "not in a folder 0_real or 1_fake of dalle",
    },
    "genimage": {
        "0.png": "not in a folder ai or nature",
        "ADM/imagenet_ai_0508_adm/train/AI/0.png": "not in a folder ai or nature",
        "train/ai/0.png": "2 folders above the file, not 3 or 4",
        "GenImage/ADM/imagenet_ai_0508_adm/train/ai/0.png": "5 folders above the file",
        "GenImage/ADM/train/ai/0.png": "'ADM' is no archive's folder",
        "ADM/imagenet_ai_0508_adm/test/ai/0.png": "'test' is neither train nor val",
    },
    "diffusion_forensics": {
        "recons/train/imagenet/real/a.png": "'recons' holds no images",
        "train/ffhq/real/a.png": "'ffhq' is none of lsun_bedroom",
        "all/imagenet/real/a.png": "'all' is none of train, val and test",
        "train/imagenet/a.png": "above the file",
    },
    "drct": {
        "flux/train2017/a.png": "'flux' is none of DRCT-2M's models, nor MSCOCO",
        "DR/DRCT-2M/sd-turbo/full_inpainting/train2017/a.png": "not in SET/train2017",
        "sd-turbo/a.png": "not in SET/train2017",
    },
    "imagefolder": {
        "cats/a.png": "no folder above the file says real or fake",
        "2/a.png": "no folder above the file says real or fake",
        "real/fake/a.png": "'real' and 'fake' above the file contradict each other",
        "0/1/a.png": "'0' and '1' above the file contradict each other",
    },
}


@pytest.mark.parametrize(("layout", "path"), [(n, p) for n, some in FITS.items() for p in some])
def test_what_a_path_says(layout, path):
    assert labels(layout, path) == FITS[layout][path]


@pytest.mark.parametrize(("layout", "path"), [(n, p) for n, some in MISFITS.items() for p in some])
def test_what_does_not_fit_says_why(layout, path):
    with pytest.raises(Misfit, match=f"path does not fit the layout {layout}: ") as caught:
        labels(layout, path)
    assert MISFITS[layout][path] in str(caught.value)


def test_dataset_is_given_from_outside():
    assert labels("unlabelled", "a.png", dataset="mine") == Labels(dataset="mine")
    assert labels("forensynths", "g/0_real/a.png", dataset="mine") == Labels(0, "g", "mine")


def test_every_layout_says_what_it_expects_and_is_tried_here():
    assert set(LAYOUTS) == set(FITS)
    for name, layout in LAYOUTS.items():
        assert layout.name == name and layout.expects and layout.read.__doc__
        assert set(layout.refines) <= set(LAYOUTS)


def test_unknown_and_former_names_say_the_right_one():
    for name in NAMES:
        assert check_name(name) == name
    with pytest.raises(ValueError, match="no layout 'forensynth': did you mean 'forensynths'"):
        check_name("forensynth")
    with pytest.raises(ValueError, match="no layout 'folder': it is called 'unlabelled' now"):
        check_name("folder")


def test_a_folder_that_cannot_be_listed_has_no_labels():
    with pytest.raises(Misfit, match="a folder that cannot be listed has no labels"):
        labels("forensynths", "progan/0_real/")
