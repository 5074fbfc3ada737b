import spacy

from pipeline.demo import train_parser
from pipeline.demo.caption_sentences import caption_sentences
from pipeline.demo.conllu import Sentence

_LINES = ["1\tDogs\tdog\tNOUN\t_\t_\t0\troot\t_\t_", "2\trun\trun\tVERB\t_\t_\t1\tacl\t_\t_", ""]


def test_caption_sentences_repeat_with_their_seed():
    first, again = (list(caption_sentences(40, 3)) for _ in range(2))
    assert first == again
    assert first != list(caption_sentences(40, 4))
    tags = {tag for sentence in first for tag in sentence.tags}
    assert tags <= {"DET", "ADJ", "NOUN", "NUM", "PRON", "ADP", "CCONJ", "PUNCT", "AUX", "VERB"}
    for sentence in first:
        assert len(sentence.words) == len(sentence.tags) == len(sentence.lemmas)
        for word, tag, lemma in zip(sentence.words, sentence.tags, sentence.lemmas, strict=True):
            assert tag != "ADJ" or word.lower() == lemma
            assert tag != "PUNCT" or word in {",", "."}


def test_accuracy_counts_words():
    nlp = spacy.blank("en")

    @spacy.Language.component("everything_is_a_noun")
    def tag(doc):
        for token in doc:
            token.pos_, token.lemma_ = "NOUN", token.lower_
        return doc

    nlp.add_pipe("everything_is_a_noun")
    sentence = Sentence(
        ["Two", "dogs", "go", "goeswith"], [True] * 4, ["NUM", "NOUN", "VERB", "X"],
        ["two", "dog", "go", ""],
    )  # fmt: skip
    assert train_parser.accuracy(nlp, [sentence]) == {"upos": 0.25, "lemma": 0.6667, "words": 4}
    clitic = Sentence(["a", "-b"], [False, True], ["NOUN", "NOUN"], ["a", "-b"])
    assert train_parser.accuracy(nlp, [clitic])["upos"] == 1.0
    assert train_parser.accuracy(nlp, [clitic], own_tokens=True)["upos"] < 1.0


def test_a_short_training_writes_a_pipeline(tmp_path, monkeypatch):
    monkeypatch.setattr(train_parser, "EPOCHS", 3)
    monkeypatch.setattr(train_parser, "CAPTIONS", 250)
    monkeypatch.setattr(train_parser, "_WORDS_IN_BATCH", (60, 60))
    for part in ("train", "dev", "test"):
        (tmp_path / f"{part}.conllu").write_text("\n".join(_LINES) + "\n")
    train_parser.train(tmp_path, tmp_path / "out", seed=0)
    nlp = spacy.load(tmp_path / "out")
    assert nlp.meta["license"] == "CC BY-SA 4.0"
    assert nlp.meta["name"] == "ud_ewt_captions"
    held_out = caption_sentences(50, 99)
    scores = train_parser.accuracy(nlp, held_out)
    assert scores["upos"] > 0.7
    assert scores["lemma"] > 0.6
