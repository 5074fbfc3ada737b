"""The scenes: a pure function of the seed, a truth that holds, and one JPEG mix for everybody."""

import re
from collections import Counter
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pipeline.demo import corpus, generators, pool
from pipeline.demo.scenes import (
    BACKGROUNDS,
    COLOURS,
    JPEG_QUALITIES,
    JPEG_SIDES,
    SHAPES,
    SIZE,
    TEXTURES,
    encode_jpeg,
    render,
    render_with_mask,
    sample_scene,
)

SEEDS = range(50)


@pytest.fixture(scope="module")
def drawn():
    """Scene, picture and owner map of a few seeds."""
    scenes = [sample_scene(seed) for seed in SEEDS]
    return [(scene, *render_with_mask(scene)) for scene in scenes]


def test_a_scene_is_a_function_of_its_seed(drawn):
    scene, image, _ = drawn[7]
    assert sample_scene(7) == scene
    assert np.array_equal(render(sample_scene(7)), image)
    assert not np.array_equal(drawn[8][1], image)


def test_pictures_are_bytes_of_one_size(drawn):
    for _, image, owner in drawn:
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        assert owner.shape == (SIZE, SIZE)


def test_objects_are_distinct_and_apart(drawn):
    for scene, _, _ in drawn:
        pairs = [(o.colour, o.shape) for o in scene.objects]
        assert 1 <= len(pairs) <= 4
        assert len(set(pairs)) == len(pairs)
        for i, a in enumerate(scene.objects):
            for b in scene.objects[i + 1 :]:
                (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
                assert ax1 < bx0 or bx1 < ax0 or ay1 < by0 or by1 < ay0


def test_boxes_hold_their_objects(drawn):
    for scene, _, owner in drawn:
        assert set(np.unique(owner)) <= {-1, *range(len(scene.objects))}
        for number, item in enumerate(scene.objects):
            y, x = np.nonzero(owner == number)
            x0, y0, x1, y1 = (side * SIZE for side in item.box)
            assert len(x) > 25  # something is there
            assert x0 - 1 <= x.min() <= x.max() <= x1 + 1
            assert y0 - 1 <= y.min() <= y.max() <= y1 + 1
            assert x.max() - x.min() > 0.6 * (x1 - x0)  # and the box is not far too large


def test_colours_are_told_apart(drawn):
    """The median pixel of a red, a green and a blue ball has its largest channel where it says."""
    channel = {"red": 0, "green": 1, "blue": 2}
    seen = Counter()
    for scene, image, owner in drawn:
        for number, item in enumerate(scene.objects):
            if item.colour in channel:
                median = np.median(image[owner == number].astype(float), axis=0)
                assert median.argmax() == channel[item.colour]
                seen[item.colour] += 1
    assert len(seen) == 3


def test_prompt_grammar():
    phrase = rf"a ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
    texture = "|".join(t for t in TEXTURES if t != "plain")
    whole = re.compile(
        rf"{phrase}((, {phrase})* and {phrase})? "
        rf"on a (({texture}) )?({'|'.join(BACKGROUNDS)}) background"
    )
    for seed in range(300):
        scene = sample_scene(seed)
        assert whole.fullmatch(scene.prompt), scene.prompt
        named = re.findall(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})", scene.prompt)
        assert named == [(o.colour, o.shape) for o in scene.objects]
        assert scene.background in scene.prompt
        assert (scene.texture in scene.prompt) == (scene.texture != "plain")


def test_seed_ranges_are_disjoint():
    reals = sum(corpus.REALS.values()) * len(generators.FAMILIES)
    ranges = {
        "training": pool.TRAIN_SEEDS,
        "held out": pool.HELD_OUT_SEEDS,
        "real": range(corpus.FIRST_REAL_SEED, corpus.FIRST_REAL_SEED + reals),
        **{f: generators.prompt_seeds(f) for f in generators.FAMILIES},
        "encoding": range(
            corpus.FIRST_FAKE_ENCODING,
            corpus.FIRST_FAKE_ENCODING + generators.FAKES * len(generators.FAMILIES),
        ),
    }
    in_order = sorted(ranges.values(), key=lambda r: r.start)
    for before, after in pairwise(in_order):
        assert before.stop <= after.start


def test_jpeg_is_a_function_of_picture_and_seed(drawn):
    image = drawn[0][1]
    assert encode_jpeg(image, 1) == encode_jpeg(image, 1)
    assert len({encode_jpeg(image, seed) for seed in range(20)}) > 5


def test_jpeg_mix_does_not_look_at_the_picture(drawn):
    """Size and quality come from the seed alone, so the mix is the same for real and fake."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    tables, sizes = set(), Counter()
    for seed in range(120):
        one = Image.open(BytesIO(encode_jpeg(drawn[0][1], seed)))
        other = Image.open(BytesIO(encode_jpeg(noise, seed)))
        assert one.size == other.size
        assert one.quantization == other.quantization
        tables.add(tuple(one.quantization[0]))
        sizes[one.size] += 1
    assert len(tables) == len(JPEG_QUALITIES)
    assert set(sizes) == {(side, side) for side in JPEG_SIDES}
    assert min(sizes.values()) > 15  # of 30 expected
