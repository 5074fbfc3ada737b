"""The adapter, with small pipelines made on the spot."""

import gc
import subprocess
import sys
from importlib import metadata

import pytest
import spacy
from spacy.language import Language

from pipeline.errors import UserError
from pipeline.models.parser import parser as parser_module
from pipeline.models.parser.parser import BUNDLED, Parser, ParserModel, Phrase, identity, load
from pipeline.shipped import folder as shipped

_TAGS = {"a": "DET", "the": "DET", "and": "CCONJ", "on": "ADP", "red": "ADJ", "big": "ADJ"}


@Language.component("word_list_tagger")
def _word_list_tagger(doc):
    for token in doc:
        token.pos_ = _TAGS.get(token.lower_, "NOUN")
        token.lemma_ = "not asked"
    return doc


@pytest.fixture
def folder(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("word_list_tagger")
    nlp.meta.update(name="words", version="1.2.3")
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_phrases_of_several_captions(folder):
    captions = ["A red ball on the Tables", "", None, " \n", "the a", "dogs and a dogs"]
    assert load(str(folder)).noun_phrases(captions) == [
        [Phrase("red ball", "ball", 2, 10), Phrase("tables", "table", 18, 24)],
        [],
        [],
        [],
        [],
        [Phrase("dogs", "dog", 0, 4), Phrase("dogs", "dog", 11, 15)],
    ]


def test_batches_and_zones_do_not_change_the_result(folder, monkeypatch):
    captions = [f"a red thing{n} and a big stuff{n}" for n in range(50)]
    parser = load(f"local-dir:{folder}")
    expected = parser.noun_phrases(captions)
    monkeypatch.setattr(parser_module, "_ZONE", 7)
    assert parser.noun_phrases(captions, batch_size=3) == expected
    assert expected[49][1] == Phrase("big stuff49", "stuff49", 20, 31)


def test_strings_do_not_pile_up(folder):
    parser = load(str(folder))
    parser.noun_phrases(["a red ball"])
    before = len(parser._nlp.vocab.strings)
    parser.noun_phrases([f"a newword{n}" for n in range(500)])
    gc.collect()
    assert len(parser._nlp.vocab.strings) == before


def test_only_needed_components_run(folder):
    assert load(str(folder))._nlp.pipe_names == ["word_list_tagger"]


def test_unknown_package_names_the_command():
    with pytest.raises(UserError, match="python -m spacy download en_no_such_model"):
        load("en_no_such_model")
    with pytest.raises(UserError, match="python -m spacy download en_no_such_model"):
        identity("en_no_such_model")


def test_a_package_that_is_no_pipeline():
    with pytest.raises(UserError, match="cannot be loaded"):
        load("pluggy")


@pytest.mark.parametrize("call", [load, identity])
def test_missing_folder(tmp_path, call):
    with pytest.raises(UserError, match="no such model folder"):
        call(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("call", [load, identity])
def test_folder_that_is_no_pipeline(tmp_path, call):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="pipeline"):
        call(str(tmp_path))


def test_pipeline_without_tags(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path)
    with pytest.raises(UserError, match="morphologizer") as caught:
        load(str(tmp_path))
    assert "sentencizer" in caught.value.where


def test_identity_of_a_folder_follows_its_files_only(folder, tmp_path):
    first = ParserModel(str(folder)).identity()
    moved = folder.rename(tmp_path / "elsewhere")
    assert identity(f"local-dir:{moved}") == first
    assert (first["model"], first["version"], len(first["sha256"])) == ("en_words", "1.2.3", 64)
    (moved / "tokenizer").write_bytes(b"other")
    assert identity(str(moved))["sha256"] != first["sha256"]


def test_identity_of_a_package():
    assert identity("spacy") == {"model": "spacy", "version": metadata.version("spacy")}


def test_model_value_loads(folder):
    assert isinstance(ParserModel(str(folder)).load(), Parser)


def test_the_module_does_not_import_spacy(folder):
    code = "import sys, pipeline.models.parser.parser as p; p.identity(sys.argv[1]); "
    code += "print('spacy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_bundled_pipeline_is_known_by_its_name():
    found = identity(BUNDLED)
    assert found["model"] == BUNDLED
    assert found == identity(str(shipped("data") / "demo" / "models" / "parser"))
    parser = load(BUNDLED)
    assert parser._nlp.pipe_names == ["tok2vec", "morphologizer"]  # its lemmas are not asked for
    (phrases,) = parser.noun_phrases(["a dog sleeps on the red sofa"])
    assert [phrase.phrase for phrase in phrases] == ["dog", "red sofa"]
