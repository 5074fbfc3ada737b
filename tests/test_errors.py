import pickle

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError, nearest, visible, worded


def test_message_says_what_where_and_what_next():
    error = UserError("no such root", "dag.yaml: corpus.root", "correct the path")
    assert str(error).splitlines() == [
        "no such root",
        "  where: dag.yaml: corpus.root",
        "  next:  correct the path",
    ]


def test_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(UserError("a", "b", "c")))
    assert (error.what, error.where, error.hint) == ("a", "b", "c")


def test_nearest_suggests_the_closest_word_or_lists_all():
    assert nearest("captoin", ["caption", "parse"]) == "did you mean 'caption'?"
    assert nearest("zzz", ["caption", "parse"]) == "known: caption, parse"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (MemoryError(" "), "out of memory"),
        (np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("u1")), "out of memory: Unable"),
        (EOFError(), "EOFError: Read beyond end of file"),
        (AssertionError(), "AssertionError: Assertion failed"),
        (OSError(), "OSError: Base class for I/O related errors"),
        (Image.DecompressionBombError(), "DecompressionBombError: no message came with it"),
        (ValueError("\n two\n  lines "), "ValueError: two lines"),
        (KeyError("key"), "KeyError: 'key'"),
        (UserError("what", "where"), "what where: where"),
    ],
)
def test_every_exception_has_words(error, words):
    assert worded(error).startswith(words)
    assert not worded(error).rstrip().endswith(":")


def test_words_are_no_novel():
    assert len(worded(RuntimeError("word " * 1000))) == 500


def test_what_a_terminal_would_obey_is_shown():
    title, wipe = "\x1b]0;owned\x07", "\x1b[2J"
    assert visible(f"a{title}{wipe}b\tc\rd\ne") == "a\\x1b]0;owned\\x07\\x1b[2Jb\\tc\\rd\ne"
    assert visible("gpj.\u202egnp\u2028\x85\udce9") == "gpj.\\u202egnp\\u2028\\x85\\udce9"
    plain = "可灵 é e\u0301 \U0001f600 <b> \\x1b \u200d"
    assert visible(plain) == plain
