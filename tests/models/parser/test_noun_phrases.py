"""The rule itself, on captions tagged by hand: no spaCy model is involved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.parser.noun_phrases import Phrase, find_phrases
from pipeline.models.parser.words import Word
from tests.helpers.tagged import tagged


def phrases(text: str) -> list[str]:
    return [found.phrase for found in find_phrases(*tagged(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red/ADJ ball and the blue/ADJ cube", ["red ball", "blue cube"]),
        ("two/NUM dogs and his old/ADJ tennis balls", ["dogs", "old tennis balls"]),
        ("a dog , cat and bird", ["dog", "cat", "bird"]),
        ("several/ADJ other/ADJ people", ["people"]),
        ("a very/ADV large/ADJ dog", ["large dog"]),
        ("a black/ADJ and white/ADJ dog", ["black and white dog"]),
        ("a red/ADJ , white/ADJ , and blue/ADJ flag", ["red, white, and blue flag"]),
        ("a large/ADJ , brown/ADJ dog", ["large, brown dog"]),
        ("the sky is blue/ADJ and green/ADJ grass", ["sky", "green grass"]),
        ("a smiling/VERB woman", ["smiling woman"]),
        ("a young/ADJ smiling/VERB woman riding/VERB bikes", ["young smiling woman", "bikes"]),
        ("a brightly/ADV colored/VERB kite", ["brightly colored kite"]),
        ("people riding/VERB horses", ["people", "horses"]),
        ("a man 's hat", ["man", "hat"]),
        ("a t ~- ~shirt", ["t-shirt"]),
        ("a two/NUM ~- ~story house", ["two-story house"]),
        ("a well/ADV ~- ~dressed/VERB man", ["well-dressed man"]),
        ("a number 7/NUM jersey", ["number 7 jersey"]),
        ("player number 7/NUM", ["player number"]),
        ("a/DET couple dogs", ["dogs"]),
        ("a parking lot", ["parking lot"]),
        ("two/NUM parked/VERB cars", ["parked cars"]),
        ("a man with/ADP braided/VERB hair", ["man", "braided hair"]),
        ("a hat and knitted/VERB scarf", ["hat", "knitted scarf"]),
        ("walking/VERB in falling/VERB snow", ["falling snow"]),
        ("laughing/VERB children on the beach", ["laughing children", "beach"]),
        ("people in matching/VERB hats", ["people", "matching hats"]),
        ("people holding/VERB hands", ["people", "hands"]),
        ("all/DET wearing/VERB helmets", ["helmets"]),
        ("a girl in running/VERB shoes", ["girl", "running shoes"]),
        ("a girl running/VERB dogs", ["girl", "dogs"]),
        ("a snow covered/VERB roof", ["snow covered roof"]),
        ("a boy dressed/VERB in clothes", ["boy", "clothes"]),
        ("a long/ADJ haired/VERB woman", ["long haired woman"]),
        ("a black/ADJ and tan/NOUN puppy", ["black and tan puppy"]),
        ("a sandy/NOUN and rocky/ADJ shore", ["sandy and rocky shore"]),
    ],
)
def test_runs(text, expected):
    text = text.replace(" ,", " ~,")
    assert phrases(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a group of people", ["people"]),
        ("a large/ADJ group of people", ["people"]),
        ("a picture of a dog", ["dog"]),
        ("a close/ADJ ~- ~up/ADP of a flower", ["flower"]),
        ("a side view of a car", ["car"]),
        ("a row of houses", ["houses"]),
        ("a painting of a fox", ["fox"]),
        ("a painting on the wall", ["painting", "wall"]),
        ("on the left and in the background", []),
        ("on a striped/ADJ gray/ADJ background", []),
        ("in front of a house", ["house"]),
        ("on top of a hill", ["hill"]),
        ("a woman in a red/ADJ top", ["woman", "red top"]),
        ("the far/ADJ corner", []),
        ("a street corner", ["street corner"]),
        ("a man in black", ["man"]),
        ("the edge of the water", ["water"]),
        ("people surfing/NOUN", ["people"]),
        ("he/PRON goes/VERB surfing in clothing", ["clothing"]),
        ("he/PRON sees/VERB a building", ["building"]),
        ("a baby is stacking/ADJ rocks", ["baby", "rocks"]),
        ("a boat at/ADP sunset", ["boat"]),
        ("a red/ADJ sunset", ["red sunset"]),
        ("a path in autumn", ["path"]),
        ("a path in the fall", ["path"]),
        ("autumn leaves", ["autumn leaves"]),
        ("a baby lying/VERB face down/ADV on a rug", ["baby", "rug"]),
        ("a girl with/ADP a smiling/VERB face", ["girl", "smiling face"]),
        ("he/PRON stands/VERB knee deep/ADJ in mud", ["mud"]),
        ("a knife of some/DET sort", ["knife"]),
        ("a man rock climbing/VERB in the sun", ["man", "sun"]),
        ("a rock climbing/VERB wall", ["rock climbing wall"]),
        ("two/NUM girls in white/ADJ and black/ADJ", ["girls"]),
    ],
)
def test_words_that_are_no_objects(text, expected):
    assert phrases(text) == expected


def test_offsets_head_and_case():
    caption, words = tagged("The Big/ADJ Dogs and the Big/ADJ Dogs")
    found = find_phrases(caption, words)
    assert found == [Phrase("big dogs", "dog", 4, 12), Phrase("big dogs", "dog", 21, 29)]
    assert [caption[p.start : p.end] for p in found] == ["Big Dogs", "Big Dogs"]


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ("T ~- ~Shirts", ["t-shirt"]),
        ("Children/PROPN on a rug", ["child", "rug"]),
        ("MEN/PROPN AND/CCONJ WOMEN/PROPN", ["man", "woman"]),
        ("ripe/ADJ tomatoes , knives and scarves", ["tomato", "knife", "scarf"]),
        ("a woman with/ADP glasses", ["woman", "glasses"]),
        ("two/NUM wine glasses", ["glass"]),
        ("two/NUM glasses of milk", ["glass", "milk"]),
        ("his swim trunks", ["trunks"]),
        ("tree trunks", ["trunk"]),
    ],
)
def test_heads_are_lemmas_whatever_the_case(text, heads):
    assert [found.head for found in find_phrases(*tagged(text.replace(" ,", " ~,")))] == heads


def test_white_space_in_a_phrase_is_single():
    words = [Word("red", "ADJ", 0), Word("ball", "NOUN", 6)]
    assert find_phrases("red \n ball", words) == [Phrase("red ball", "ball", 0, 10)]


def test_nothing_to_find():
    assert find_phrases("", []) == []
    assert phrases("is on ,") == []


_FORMS = """
a the two his red black and , in wearing men dog dogs walk walks walking covered sled
swing  swings rock climbing face down other - glasses sunset of other's 7 Children face
"""
_TAGS = "NOUN PROPN VERB ADJ ADV DET ADP CCONJ NUM PRON PUNCT AUX PART X"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(_FORMS.split()),
            st.sampled_from(_TAGS.split()),
            st.sampled_from(["", " ", "  "]),
        ),
        max_size=12,
    )
)
def test_any_tags_give_phrases_of_the_caption_in_order(pieces):
    caption, words = "", []
    for form, tag, space in pieces:
        words.append(Word(form, tag, len(caption)))
        caption += form + space
    end = 0
    for found in find_phrases(caption, words):
        assert end <= found.start < found.end <= len(caption)
        assert " ".join(caption[found.start : found.end].casefold().split()) == found.phrase
        assert found.head
        end = found.end
