"""Near-duplicates: images whose embeddings are alike, on two sides of what is to be kept apart.

Sides are the listing's splits, its generators, its labels, and what each experiment of the DAG
trains on against what it tests. All pairs are found once, and asked for each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.audit.finding import (
    LOOK_SHARE,
    Finding,
    Verdict,
    not_judged,
    of_share,
    percent,
)
from pipeline.audit.near_duplicates.embeddings import Embeddings, embeddings
from pipeline.audit.near_duplicates.neighbours import EXACT, MOST, Found, TooMany, alike, has_index
from pipeline.audit.near_duplicates.sides import tested_against
from pipeline.errors import many

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.experiment import Experiment

COSINE = 0.99
SPLITS = "near-duplicates: splits"
EXPERIMENTS = "near-duplicates: experiments"
LABELS = "near-duplicates: labels"
GENERATORS = "near-duplicates: generators"
_CHECKS = (SPLITS, EXPERIMENTS, LABELS, GENERATORS)
_SHOWN = 100  # pairs that are named
_ADVICE = (
    "alike to a CLIP is not yet a copy: look at the pairs (`item audit DAG --pairs FILE`), and "
    "move one of each out of the corpus, which costs nothing"
)


@dataclass(frozen=True)
class _Asked:
    """The pairs, and the images that they are of."""

    vectors: Embeddings
    found: Found

    def crossing(self, column: str) -> np.ndarray:
        """bool [p]: the pairs whose ends differ in a column that both have."""
        codes = self.vectors.codes(column)
        one, other = codes[self.found.one], codes[self.found.other]
        return (one != other) & (one >= 0) & (other >= 0)

    def touched(self, pairs: np.ndarray) -> np.ndarray:
        """bool [n]: the images that such pairs (bool [p]) have."""
        hit = np.zeros(len(self.vectors), bool)
        hit[self.found.one[pairs]] = hit[self.found.other[pairs]] = True
        return hit

    def named(self, pairs: np.ndarray) -> list[dict[str, Any]]:
        """The most alike of some pairs, with their files."""
        columns = ["uri_a", "uri_b", "cosine"]
        return self.table(pairs, _SHOWN).select(columns).to_pylist()

    def table(self, pairs: np.ndarray, most: int | None = None) -> pa.Table:
        """Some pairs (bool [p]), the most alike first: both images' rows of `about`, the cosine."""
        places = np.flatnonzero(pairs)
        places = places[np.argsort(-self.found.cosine[places], kind="stable")][:most]
        columns: dict[str, Any] = {}
        for end, rows in (("a", self.found.one), ("b", self.found.other)):
            about = self.vectors.about.take(pa.array(rows[places]))
            columns |= {f"{name}_{end}": about[name] for name in about.column_names}
        return pa.table({**columns, "cosine": pa.array(self.found.cosine[places])})


def near_duplicates(
    connection: "DuckDBPyConnection",
    experiments: Mapping[str, "Experiment"],
    cosine: float,
    say: Callable[[str], None],
    keep: Callable[[pa.Table], None] = lambda pairs: None,
) -> list[Finding]:
    """A finding for each kind of side. `keep` gets every pair that is on two sides of any kind."""
    try:
        vectors = embeddings(connection)
    except duckdb.CatalogException:
        return _all("several nodes make image embeddings", "call one of them `image_embeddings`")
    if vectors is None:
        return _all("no image embeddings", "`item run DAG` computes them, if a node does")
    if len(vectors) > EXACT and not has_index():
        return _all(
            f"{len(vectors):,} images: over {EXACT:,} it takes an index",
            "install faiss: `pip install faiss-cpu`, or this package with its extra `[audit]`",
        )
    try:
        found = alike(vectors, cosine, say)
    except TooMany:
        return _all(
            f"over {MOST:,} pairs of images at cosine >= {cosine:g}",
            "to this CLIP so many images are alike that the threshold tells nothing: raise "
            "`--cosine`",
        )
    asked = _Asked(vectors, found)
    columns = ("split", "generator", "label")
    keep(asked.table(np.logical_or.reduce([asked.crossing(name) for name in columns])))
    sides = _experiments(asked, connection, experiments)
    findings = [_splits(asked), sides, _labels(asked), _generators(asked)]
    how = f"alike: cosine >= {cosine:g}, {found.how}"
    return [_with(findings[0], how), *findings[1:]]


def _with(finding: Finding, said: str) -> Finding:
    return replace(finding, seen="; ".join(text for text in (finding.seen, said) if text))


def _all(why: str, advice: str) -> list[Finding]:
    return [not_judged(check, why, advice) for check in _CHECKS]


def _splits(asked: _Asked) -> Finding:
    names = asked.vectors.about["split"].combine_chunks().dictionary_encode().dictionary
    codes = asked.vectors.codes("split")
    if len(names) < 2:
        return not_judged(SPLITS, "the listing has no two splits")
    ends = np.sort(np.stack([codes[asked.found.one], codes[asked.found.other]]), axis=0)
    rows = []
    for a, b in combinations(sorted(range(len(names)), key=lambda n: names[n].as_py()), 2):
        pairs = (ends[0] == min(a, b)) & (ends[1] == max(a, b))
        if pairs.any():
            rows.append(
                _of_two(asked, pairs, {names[a].as_py(): codes == a, names[b].as_py(): codes == b})
            )
    if not rows:
        return Finding(SPLITS, "none", "ok")
    worst = max(rows, key=lambda row: row["share"])
    figure = (
        f"{many(worst['pairs'], 'pair')} of {worst['one']} and {worst['other']}: "
        f"{many(worst['images'], 'image')} of {worst['smaller']} ({percent(worst['share'])})"
    )
    details = (*rows, {"most_alike": asked.named(asked.crossing("split"))})
    return _judged(SPLITS, figure, of_share(worst["share"], LOOK_SHARE), _ADVICE, details)


def _of_two(asked: _Asked, pairs: np.ndarray, sides: dict[str, np.ndarray]) -> dict[str, Any]:
    """What two splits have in common; `sides`: which images are in each, bool [n]."""
    smaller = min(sides, key=lambda name: int(sides[name].sum()))
    images = int((asked.touched(pairs) & sides[smaller]).sum())
    row = dict(zip(("one", "other"), sides, strict=True))
    row |= {"pairs": int(pairs.sum()), "smaller": smaller, "images": images}
    return {**row, "share": images / int(sides[smaller].sum())}


def _experiments(
    asked: _Asked, connection: "DuckDBPyConnection", experiments: Mapping[str, "Experiment"]
) -> Finding:
    if not experiments:
        return not_judged(EXPERIMENTS, "the DAG has no experiments")
    if not len(asked.found.one):
        return Finding(EXPERIMENTS, "none", "ok")
    rows, unasked, every = [], [], np.zeros(len(asked.found.one), bool)
    for name, sides in tested_against(connection, experiments).items():
        if isinstance(sides, str):
            unasked.append(f"{name}: {sides}")
            continue
        known, tested = (asked.vectors.places(ids) for ids in sides)
        one, other = asked.found.one, asked.found.other
        pairs = (known[one] & tested[other]) | (tested[one] & known[other])
        every |= pairs
        images, of = int((asked.touched(pairs) & tested).sum()), int(tested.sum())
        row = {"experiment": name, "pairs": int(pairs.sum()), "images": images, "tested": of}
        rows.append({**row, "share": images / max(1, of)})
    if not rows:
        return not_judged(EXPERIMENTS, unasked[0])
    seen = f"not asked: {'; '.join(unasked)}" if unasked else ""
    worst = max(rows, key=lambda row: row["share"])
    if not worst["pairs"]:
        return Finding(EXPERIMENTS, "none", "ok", seen, details=tuple(rows))
    figure = (
        f"{worst['experiment']}: {worst['images']:,} of {worst['tested']:,} tested images are "
        f"like trained ones ({percent(worst['share'])})"
    )
    advice = "such test images are no proof of anything learned: leave them out of `test`"
    details = (*rows, {"most_alike": asked.named(every)})
    found = _judged(EXPERIMENTS, figure, of_share(worst["share"], LOOK_SHARE), advice, details)
    return replace(found, seen=seen)


def _labels(asked: _Asked) -> Finding:
    """Pairs of a real and a fake image: a question, but no leak."""
    pairs, label = asked.crossing("label"), asked.vectors.codes("label")
    if len(np.unique(label[label >= 0])) < 2:
        return not_judged(LABELS, "the listing has no two labels")
    if not pairs.any():
        return Finding(LABELS, "none", "ok")
    touched = asked.touched(pairs)
    share = max(float(touched[label == value].mean()) for value in np.unique(label[touched]))
    figure = (
        f"{many(int(pairs.sum()), 'pair')} of a real and a fake image ({percent(share)} of a label)"
    )
    advice = "made from the real image, or one file saved twice? look at the pairs"
    details = ({"most_alike": asked.named(pairs)},)
    return _judged(LABELS, figure, "look" if share >= LOOK_SHARE else "ok", advice, details)


def _generators(asked: _Asked) -> Finding:
    """Pairs of one label and two generators; whether they meet in training and test, experiments
    say, so this is no leak."""
    if len(asked.vectors.about["generator"].combine_chunks().dictionary_encode().dictionary) < 2:
        return not_judged(GENERATORS, "the listing has no two generators")
    apart = asked.crossing("generator")
    pairs = apart & ~asked.crossing("label")
    share, within = (float(asked.touched(some).mean()) for some in (pairs, ~apart))
    figure = f"{many(int(pairs.sum()), 'pair')}: {percent(share)} of all images"
    figure += f"; within a generator {percent(within)}"
    advice = "trained on one generator and tested on the other, they are on both sides"
    details = ({"most_alike": asked.named(pairs)},)
    return _judged(GENERATORS, figure, "look" if share >= LOOK_SHARE else "ok", advice, details)


def _judged(
    check: str, figure: str, verdict: Verdict, advice: str, details: tuple[dict[str, Any], ...]
) -> Finding:
    return Finding(check, figure, verdict, "", "" if verdict == "ok" else advice, details)
