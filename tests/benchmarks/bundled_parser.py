"""Prints the bundled parser's figures: accuracy on UD English EWT, exactness on scene captions.

    python -m tests.benchmarks.bundled_parser [--treebank DIR] [--model DIR]

The treebank (https://universaldependencies.org/treebanks/en_ewt/) is not part of the project; DIR
holds its test part as `test.conllu`. Without `--treebank` only the scene captions are scored.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.demo.conllu import read_conllu
from pipeline.demo.scenes import sample_scene
from pipeline.demo.train_parser import accuracy
from pipeline.models.parser.parser import Parser, load

MODEL = Path(__file__).resolve().parents[2] / "data" / "demo" / "models" / "parser"
HELD_OUT = range(2_000_000, 2_002_000)  # seeds of scenes that no bundled model was trained on

Row = tuple[str, str, float, float]  # what, on what, figure, the least that it should be


def scene_exactness(parser: Parser, seeds: Sequence[int]) -> float:
    """Share of scenes whose true caption gives exactly the scene's objects, in order."""
    scenes = [sample_scene(seed) for seed in seeds]
    found = parser.noun_phrases([scene.prompt for scene in scenes])
    right = [
        [phrase.phrase for phrase in phrases] == [item.phrase for item in scene.objects]
        for scene, phrases in zip(scenes, found, strict=True)
    ]
    return sum(right) / len(right)


def megabytes(folder: Path) -> float:
    """Size of all files below `folder` in MB (10^6 bytes)."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def parser_rows(model: Path = MODEL, treebank: Path | None = None) -> list[Row]:
    """The figures as (what, on what, figure, target) rows."""
    import spacy

    parser = load(str(model))
    scenes = scene_exactness(parser, HELD_OUT)
    rows = [("objects exactly right", f"{len(HELD_OUT)} held-out scene captions", scenes, 0.99)]
    if treebank is not None:
        nlp = spacy.load(model)
        sentences = list(read_conllu(treebank / "test.conllu"))
        for own_tokens, words in ((False, "gold words"), (True, "spaCy's own words")):
            scores = accuracy(nlp, sentences, own_tokens)
            name = f"UD-EWT test, {words} ({scores['words']})"
            targets = (0.0, 0.0) if own_tokens else (0.93, 0.94)
            rows.append(("UPOS accuracy", name, scores["upos"], targets[0]))
            rows.append(("lemma accuracy", name, scores["lemma"], targets[1]))
    return rows


def main() -> None:
    """Prints a table; exit status 1 when a figure is below its target."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--treebank", type=Path)
    arguments.add_argument("--model", type=Path, default=MODEL)
    options = arguments.parse_args()
    started = time.time()
    rows = parser_rows(options.model, options.treebank)
    for what, where, figure, target in rows:
        aim = f"(at least {target})" if target else ""
        print(f"{what:22} {where:42} {figure:.4f} {aim}")
    print(f"{'size':22} {'on disk':42} {megabytes(options.model):.2f} MB (at most 6)")
    print(f"measured in {time.time() - started:.0f} s")
    if any(figure < target for _, _, figure, target in rows) or megabytes(options.model) > 6:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
