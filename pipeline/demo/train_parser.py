"""Trains the bundled English spaCy pipeline (tags and lemmas) on a Universal Dependencies treebank.

    python -m pipeline.demo.train_parser --treebank DIR --out DIR [--seed 0]

DIR holds `train.conllu`, `dev.conllu` and `test.conllu` of UD English EWT. One small convolutional
`tok2vec` is shared by a `morphologizer` (UPOS) and a `trainable_lemmatizer` (edit trees); a few
thousand caption sentences (`caption_sentences.py`) supplement the treebank. One thread, no vectors.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from pipeline.demo.caption_sentences import caption_sentences
from pipeline.demo.conllu import Sentence, read_conllu

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example
    from spacy.vocab import Vocab

EPOCHS = 9
CAPTIONS = 3000  # caption sentences beside the treebank's 12,500
LOWER_CASED = 0.15  # share of treebank sentences shown in lower case, as captioners write
_WORDS_IN_BATCH = (800, 2000)  # first and last epoch
_LEARN_RATE = (0.002, 0.0002)

_TOK2VEC = {
    "@architectures": "spacy.Tok2Vec.v2",
    "embed": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 96,
        "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
        "rows": [3000, 1500, 1500, 1500],
        "include_static_vectors": False,
    },
    "encode": {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 96,
        "depth": 4,
        "window_size": 1,
        "maxout_pieces": 3,
    },
}
_LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "*"}
_TAGGER = {"@architectures": "spacy.Tagger.v2", "tok2vec": _LISTENER}
_META = {
    "name": "ud_ewt_captions",
    "version": "1.0.0",
    "spacy_version": ">=3.8.0,<4.0.0",
    "description": "Small English tagger and lemmatizer for image captions (UD English EWT).",
    "author": "ITEM feature pipeline",
    "license": "CC BY-SA 4.0",
    "sources": [
        {
            "name": "Universal Dependencies English Web Treebank",
            "url": "https://universaldependencies.org/treebanks/en_ewt/",
            "license": "CC BY-SA 4.0",
            "author": "Natalia Silveira, Timothy Dozat, Christopher Manning, Sebastian Schuster, "
            "Ethan Chi, John Bauer, Miriam Connor, Marie-Catherine de Marneffe, Nathan Schneider, "
            "Sam Bowman, Hanzhi Zhu, Daniel Galbraith and others",
        }
    ],
}


def build() -> "Language":
    """An untrained pipeline: tok2vec, morphologizer, trainable_lemmatizer."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": _TOK2VEC})
    nlp.add_pipe("morphologizer", config={"model": _TAGGER, "overwrite": True})
    lemmatizer = {"model": _TAGGER, "min_tree_freq": 3, "top_k": 2, "backoff": "orth"}
    nlp.add_pipe("trainable_lemmatizer", config=lemmatizer)
    nlp.meta.update(_META)
    return nlp


def train(treebank: Path, out: Path, seed: int = 0) -> None:
    """Trains on `treebank`/train.conllu and writes the pipeline with averaged weights to `out`.

    Prints the loss and the accuracy on dev.conllu after every epoch. UserError if a file of the
    treebank is missing.
    """
    from spacy.util import fix_random_seed
    from thinc.api import Adam

    started = time.time()
    fix_random_seed(seed)
    rng = Random(seed)
    nlp = build()
    sentences = [*read_conllu(treebank / "train.conllu"), *caption_sentences(CAPTIONS, seed)]
    nlp.initialize(lambda: [_example(nlp.vocab, sentence) for sentence in sentences])
    optimizer = Adam(
        _LEARN_RATE[0], L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=True
    )
    for epoch in range(EPOCHS):
        done = epoch / max(EPOCHS - 1, 1)
        optimizer.learn_rate = _LEARN_RATE[0] * (_LEARN_RATE[1] / _LEARN_RATE[0]) ** done
        words = round(_WORDS_IN_BATCH[0] * (_WORDS_IN_BATCH[1] / _WORDS_IN_BATCH[0]) ** done)
        losses: dict[str, float] = {}
        for batch in _batches(sentences, words, rng):
            examples = [_example(nlp.vocab, _varied(sentence, rng)) for sentence in batch]
            nlp.update(examples, drop=0.15, sgd=optimizer, losses=losses)
        with nlp.use_params(optimizer.averages):
            scores = accuracy(nlp, read_conllu(treebank / "dev.conllu"))
        summary = {**{k: round(v) for k, v in losses.items()}, **scores}
        print(f"epoch {epoch + 1}/{EPOCHS}, {time.time() - started:.0f} s: {json.dumps(summary)}")
    nlp.meta["performance"] = {"pos_acc": scores["upos"], "lemma_acc": scores["lemma"]}
    with nlp.use_params(optimizer.averages):
        save(nlp, out)
    print(f"trained in {time.time() - started:.0f} s, seed {seed}")


def save(nlp: "Language", out: Path) -> None:
    """Writes the pipeline to `out` without the words seen in training, which nothing reads again.

    Only the edit trees look strings up: with their strings alone the folder is smaller, and the
    tags and lemmas are the same.
    """
    nlp.to_disk(out, exclude=["vocab.lookups"])
    trees = nlp.get_pipe("trainable_lemmatizer").trees
    keys = {
        tree[part]
        for tree in map(trees.__getitem__, range(len(trees)))
        for part in ("orig", "subst")
        if part in tree
    }
    strings = sorted(nlp.vocab.strings[key] for key in keys if key in nlp.vocab.strings)
    (out / "vocab" / "strings.json").write_text(json.dumps(strings), encoding="utf-8")


def accuracy(
    nlp: "Language", sentences: Iterable[Sentence], own_tokens: bool = False
) -> dict[str, float]:
    """Shares of right UPOS tags and lemmas of `sentences` (to four decimals), and the words scored.

    Gold words are given to the pipeline, as is usual for tagging accuracy; with `own_tokens` the
    text is given instead, and a word that spaCy's tokenizer cuts differently counts as wrong.
    Words for which the treebank has no lemma count for the tags only.
    """
    from spacy.tokens import Doc

    gold = list(sentences)
    docs = [Doc(nlp.vocab, words=s.words, spaces=s.spaces) for s in gold]
    inputs = [doc.text for doc in docs] if own_tokens else docs
    tags = tag_count = lemmas = lemma_count = 0
    for sentence, reference, doc in zip(gold, docs, nlp.pipe(inputs), strict=True):
        found = {(t.idx, len(t)): (t.pos_, t.lemma_) for t in doc}
        for token, tag, lemma in zip(reference, sentence.tags, sentence.lemmas, strict=True):
            guess = found.get((token.idx, len(token)), ("", ""))
            tags, tag_count = tags + (guess[0] == tag), tag_count + 1
            if lemma:
                lemmas, lemma_count = lemmas + (guess[1] == lemma), lemma_count + 1
    return {
        "upos": round(tags / tag_count, 4),
        "lemma": round(lemmas / lemma_count, 4),
        "words": tag_count,
    }


def _example(vocab: "Vocab", sentence: Sentence) -> "Example":
    from spacy.tokens import Doc
    from spacy.training import Example

    words, spaces = sentence.words, sentence.spaces
    gold = Doc(vocab, words=words, spaces=spaces, pos=sentence.tags, lemmas=sentence.lemmas)
    return Example(Doc(vocab, words=words, spaces=spaces), gold)


def _varied(sentence: Sentence, rng: Random) -> Sentence:
    """Now and then the sentence in lower case, with its tags and lemmas unchanged."""
    if rng.random() >= LOWER_CASED:
        return sentence
    words = [word.lower() for word in sentence.words]
    return Sentence(words, sentence.spaces, sentence.tags, sentence.lemmas)


def _batches(sentences: list[Sentence], words: int, rng: Random) -> Iterator[list[Sentence]]:
    """Shuffled batches of about `words` words, each of sentences of similar length."""
    order = sorted(sentences, key=lambda s: len(s.words) + rng.random() * 6)
    batches, batch, size = [], [], 0
    for sentence in order:
        batch.append(sentence)
        size += len(sentence.words)
        if size >= words:
            batches.append(batch)
            batch, size = [], 0
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    yield from batches


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--treebank", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    train(options.treebank, options.out, options.seed)


if __name__ == "__main__":
    main()
