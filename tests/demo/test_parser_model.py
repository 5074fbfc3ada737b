"""The bundled spaCy pipeline on captions in the style of real photographs, and on the scenes'."""

import pytest

from pipeline.demo.scenes import sample_scene
from pipeline.models.parser.parser import Parser, load
from pipeline.shipped import folder

_MODEL = folder("data") / "demo" / "models" / "parser"
_CAPTIONS = {
    "A brown dog is running through the snow.": "brown dog, snow",
    "Two young boys play soccer in a grassy field": "young boys, soccer, grassy field",
    "a group of people sitting around a wooden table": "people, wooden table",
    "A woman in a blue coat walks her dog along the beach.": "woman, blue coat, dog, beach",
    "a close-up of a yellow flower on a white background": "yellow flower",
    "A man wearing a red helmet rides a bicycle down a steep hill .": (
        "man, red helmet, bicycle, steep hill"
    ),
    "a black and white cat sleeping on top of a laptop": "black and white cat, laptop",
    "Three children are jumping on a large trampoline in the background": (
        "children, large trampoline"
    ),
    "a yellow bus in front of an old brick building": "yellow bus, old brick building",
    "a plate of food with rice, beans and a slice of lemon": "plate, food, rice, beans, lemon",
    "The old man's hat is green.": "old man, hat",
    "there is a small bird on the left and a stone statue on the right": (
        "small bird, stone statue"
    ),
    "A child in a t-shirt and jeans holds a kite": "child, t-shirt, jeans, kite",
    "several cars parked near a two-story house": "cars, two-story house",
    "a picture of a fisherman pulling a net into his boat": "fisherman, net, boat",
    "a girl jumps over a girl": "girl, girl",
    "it is raining": "",
}
_HEADS = {
    "two men and three women": ["man", "woman"],
    "her red shoes": ["shoe"],
    "Children play in the mud": ["child", "mud"],
    "TWO WOMEN HOLD KNIVES": ["woman", "knife"],
    "a tray of cookies, potatoes and scarves": ["tray", "cookie", "potato", "scarf"],
    "policemen in sunglasses and jeans": ["policeman", "sunglasses", "jeans"],
}
_VERBS = {  # what somebody does heads no phrase
    "Three clowns stand outside": "clowns",
    "Goats run through high grass": "goats, high grass",
    "people watch a parade": "people, parade",
    "A woman rides a camel": "woman, camel",
    "a boy and girl walk along a wall": "boy, girl, wall",
    "a nun in yellow sitting on a step": "nun, step",
    "a girl in black riding a donkey": "girl, donkey",
    "four men in white dance in a ring": "men, ring",
    "Girl climbs wall": "girl, wall",
    "two farmers plant trees": "farmers, trees",
    "Ride the bull": "bull",
    "a kid rock climbing without a rope": "kid, rope",
}
_COMPOUNDS = {  # and these stay whole
    "a fire hydrant by a stop sign": "fire hydrant, stop sign",
    "a skate park and a ski slope": "skate park, ski slope",
    "a baseball bat and a stuffed animal": "baseball bat, stuffed animal",
    "swimming pools beside a dining room": "swimming pools, dining room",
    "a rope swing over a snow covered field": "rope swing, snow covered field",
    "two sports cars on a race track": "sports cars, race track",
}


@pytest.fixture(scope="module")
def parser() -> Parser:
    return load(str(_MODEL))


@pytest.mark.parametrize("captions", [_CAPTIONS, _VERBS, _COMPOUNDS])
def test_captions_of_photographs(parser, captions):
    found = parser.noun_phrases(list(captions))
    given = {
        caption: ", ".join(phrase.phrase for phrase in phrases)
        for caption, phrases in zip(captions, found, strict=True)
    }
    assert given == captions


def test_offsets_point_at_the_phrase(parser):
    for caption, phrases in zip(_CAPTIONS, parser.noun_phrases(list(_CAPTIONS)), strict=True):
        for phrase in phrases:
            assert caption[phrase.start : phrase.end].casefold() == phrase.phrase


def test_heads_are_lemmas(parser):
    found = parser.noun_phrases(list(_HEADS))
    assert [[phrase.head for phrase in phrases] for phrases in found] == list(_HEADS.values())


def test_scene_captions_are_exactly_right(parser):
    scenes = [sample_scene(seed) for seed in range(2_000_000, 2_000_200)]
    found = parser.noun_phrases([scene.prompt for scene in scenes])
    assert [[p.phrase for p in phrases] for phrases in found] == [
        [item.phrase for item in scene.objects] for scene in scenes
    ]
    assert found[0][0].head == scenes[0].objects[0].shape


def test_size_and_licence():
    size = sum(file.stat().st_size for file in _MODEL.rglob("*") if file.is_file())
    assert size <= 6_000_000
    card = (_MODEL / "README.md").read_text(encoding="utf-8")
    assert "Universal Dependencies English Web Treebank" in card
    assert "CC BY-SA 4.0" in card
