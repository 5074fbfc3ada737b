"""The parser: noun phrases of captions from any spaCy pipeline that sets `pos`.

The pipeline tags; the rule that turns tags into phrases is in `noun_phrases.py`, and their lemmas
are those of `lemmas.py`, the same with any pipeline.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.models.parser.noun_phrases import Phrase, find_phrases
from pipeline.models.parser.words import Word
from pipeline.models.weights import checkpoints
from pipeline.models.weights.hashing import hash_folder
from pipeline.shipped import folder

if TYPE_CHECKING:
    from spacy.language import Language

__all__ = ["Parser", "ParserModel", "Phrase", "identity", "load"]

BUNDLED = "en_ud_ewt_captions"  # comes with this package; good for any English captions
_PROBE = "a red ball on a wooden table"  # any tagger gives at least one of these words a tag
_ZONE = 2048  # texts whose strings are kept before the memory is given back
# spaCy's own components that set no tags (or that merge tokens); lemmas are the rule's
_UNUSED = {
    "beam_ner",
    "beam_parser",
    "doc_cleaner",
    "entity_linker",
    "entity_ruler",
    "future_entity_ruler",
    "lemmatizer",
    "merge_entities",
    "merge_noun_chunks",
    "merge_subtokens",
    "ner",
    "parser",
    "sentencizer",
    "senter",
    "span_cleaner",
    "span_finder",
    "span_ruler",
    "spancat",
    "spancat_singlelabel",
    "textcat",
    "textcat_multilabel",
    "trainable_lemmatizer",
}


@dataclass(frozen=True)
class ParserModel:
    """Names a spaCy pipeline: an installed package or a folder (`local-dir:` in front allowed)."""

    model: str

    def identity(self) -> dict[str, Any]:
        """See `identity`."""
        return identity(self.model)

    def load(self) -> "Parser":
        """See `load`."""
        return load(self.model)


class Parser:
    """A loaded spaCy pipeline; several threads may share it (they take turns)."""

    def __init__(self, nlp: "Language"):
        self._nlp = nlp
        self._lock = threading.Lock()  # a memory zone belongs to one user at a time

    def noun_phrases(
        self, texts: Sequence[str | None], batch_size: int = 256
    ) -> list[list[Phrase]]:
        """The noun phrases of each text, in the order of the text; an empty list where none is.

        A null, empty or blank text has none. Repeated phrases are all kept. `batch_size` changes
        speed only; memory does not grow with the number of different words seen.
        """
        found: list[list[Phrase]] = [[] for _ in texts]
        filled = ((number, text) for number, text in enumerate(texts) if text and text.strip())
        with self._lock:
            while zone := list(islice(filled, _ZONE)):
                for number, phrases in self._parse(zone, batch_size):
                    found[number] = phrases
        return found

    def _parse(
        self, numbered: Sequence[tuple[int, str]], batch_size: int
    ) -> Iterator[tuple[int, list[Phrase]]]:
        pairs = ((text, number) for number, text in numbered)
        with self._nlp.memory_zone():
            # plain strings are copied out of the zone: a Doc must not outlive it
            for doc, number in self._nlp.pipe(pairs, as_tuples=True, batch_size=batch_size):
                words = [Word(t.text, t.pos_, t.idx) for t in doc if not t.is_space]
                yield number, find_phrases(doc.text, words)


def load(model: str) -> Parser:
    """The pipeline `model`: an installed package's name or a folder, as `spacy.load` takes it.

    Components that set no tags are switched off. UserError when there is no such
    model, when its files cannot be read, or when it sets no `pos`.
    """
    import spacy

    name = _plain(model)
    if _installed(name) is None and not Path(name).is_dir():
        raise _not_found(name)
    try:
        nlp = spacy.load(name)
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the spaCy pipeline cannot be loaded: {str(error).splitlines()[0]}",
            name,
            "install what it names, or get the model again: `python -m spacy validate` lists "
            "packages that do not fit this version of spaCy",
        ) from error
    for component in list(nlp.pipe_names):
        if nlp.get_pipe_meta(component).factory in _UNUSED:
            nlp.disable_pipe(component)
    if not any(token.pos for token in nlp(_PROBE)):
        have = ", ".join(nlp.component_names) or "none"
        raise UserError(
            "the spaCy pipeline sets no part of speech (`pos`), which noun phrases need",
            f"{name} (components: {have})",
            "use a pipeline with a `morphologizer`, or with a `tagger` and an `attribute_ruler` "
            "(en_core_web_sm has them)",
        )
    return Parser(nlp)


def identity(model: str) -> dict[str, Any]:
    """What decides the model's output, without importing spaCy.

    An installed package gives {"model": name, "version": version}; a folder gives its name and
    version from meta.json and "sha256" over its files, the same wherever the folder lies. UserError
    when the model does not exist.
    """
    name = _plain(model)
    version = _installed(name)
    if version is not None:
        return {"model": name, "version": version}
    place = Path(name)
    if not place.is_dir():
        raise _not_found(name)
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        named = {"model": f"{meta['lang']}_{meta['name']}", "version": meta["version"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "the folder holds no spaCy pipeline (no readable meta.json)",
            str(place),
            "give the folder that `nlp.to_disk` wrote, or the name of an installed package",
        ) from error
    return {**named, "sha256": hash_folder(place)}


def licence(model: str) -> str:
    """The licence that an installed package or a folder's meta.json states, else "not stated"."""
    name = _plain(model)
    if _installed(name) is not None:
        about = metadata.metadata(name)
        return str(about.get("License-Expression") or about.get("License") or "not stated")
    meta = json.loads((Path(name) / "meta.json").read_text(encoding="utf-8"))
    return str(meta.get("license") or "not stated")


def _plain(model: str) -> str:
    if model == BUNDLED and _installed(model) is None:
        return str(folder("data") / "demo" / "models" / "parser")
    return model.removeprefix("local-dir:")


def _installed(name: str) -> str | None:
    """The version of an installed package called `name`; None for a path or an unknown name."""
    if not name or "/" in name or "\\" in name:
        return None
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _not_found(name: str) -> UserError:
    if "/" in name or "\\" in name or name.startswith((".", "~")):
        return checkpoints.no_folder(Path(name))
    return UserError(
        f"the spaCy pipeline '{name}' is neither an installed package nor a folder",
        hint=f"`python -m spacy download {name}`, or give the path of a pipeline's folder",
    )
