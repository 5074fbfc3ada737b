"""The words by which folders, and groups of a pattern, say real or fake, and which split.

One table for every layout that does not come with words of its own. Case, and whether a word has
`-`, `_` or a space in it, is of no account. A label never follows from the order of the folders.
"""

_REAL = (
    "real reals 0_real real_images nature natural authentic original originals genuine pristine "
    "photo photos photograph photographs human camera"
)
REAL = frozenset(_REAL.split())
_FAKE = (
    "fake fakes 1_fake fake_images ai ai_generated ai_images aigc generated synthetic "
    "synthesized synthesised synthetic_images artificial forged"
)
FAKE = frozenset(_FAKE.split())
# numbers are labels only where no word is: a class may be called 0 or 1 as well
NUMBERS = {"0": 0, "1": 1}

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "train_set", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "test_set", "testset"), "test"),
}

# what published corpora call their generators' folders, in lower case: for telling them from
# folders of classes
_GENERATORS = (
    "progan stylegan stylegan2 stylegan3 biggan cyclegan stargan gaugan crn imle seeingdark san "
    "deepfake whichfaceisreal styleganxl gansformer projectedgan diff-projectedgan diff- "
    "stylegan guided ldm ldm_100 ldm_200 ldm_200_cfg glide glide_100_27 glide_50_27 "
    "glide_100_10 dalle dalle2 dalle3 dalle_2 dalle_3 dalle-2 dalle-3 adm ddpm iddpm pndm vqdm "
    "vqdiffusion wukong midjourney sdxl sdv1 sdv2 sd_xl stable_diffusion_v_1_4 "
    "stable_diffusion_v_1_5 sdv14 sdv15 stable_diffusion stable-diffusion-v1-4 stable- "
    "diffusion-v1-5 deepfloyd firefly attgan began cramergan infomaxgan mmdgan relgan s3gan "
    "sngan flux flux1"
)
GENERATORS = frozenset(_GENERATORS.split())


def normal(word: str) -> str:
    """A word as the table has it."""
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def label_of(word: str) -> int | None:
    """0 or 1 for a word or number of the table, else None."""
    named = named_label(word)
    return NUMBERS.get(word) if named is None else named


def named_label(word: str) -> int | None:
    """0 or 1 for a word of the table, None for everything else, numbers included."""
    plain = normal(word)
    if plain in REAL:
        return 0
    return 1 if plain in FAKE else None


def split_of(word: str) -> str | None:
    """train, val or test for a word of the table, else None."""
    return SPLIT_WORDS.get(normal(word))


def is_generator(word: str) -> bool:
    """Whether published corpora have a generator of this name."""
    return word.lower() in GENERATORS
