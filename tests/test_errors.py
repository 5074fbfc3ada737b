import pickle

from pipeline.errors import UserError, nearest


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
