"""Is the label predictable without the picture: from facts, from the name, from a caption's words?

Each question is asked of all images and of each generator's, on images that were not learned from.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from pipeline.audit.auroc import Auroc, cross_validated, enough, interval
from pipeline.audit.facts import FACTS, Fact, name_tokens
from pipeline.audit.finding import LEVEL, Finding, Verdict, not_judged, of_auroc, worse
from pipeline.audit.learners import by_tokens, counted, telling
from pipeline.audit.rows import Group

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TEXTS = 2_500  # images of each label whose names or captions are read
NAME, WORDS = "file name", "caption words"
_FEW = "see class balance: a label has too few images"


def predictable(connection: "DuckDBPyConnection", groups: Sequence[Group]) -> list[Finding]:
    """A finding for each fact, for all facts together, for file names and for captions' words."""
    level = LEVEL / ((len(FACTS) + 2) * len(groups))
    with threadpool_limits(1):  # so small fits take twice as long where threads wait for each other
        found = [_of_fact(fact, groups, level) for fact in FACTS]
        found.append(_of_names(groups, level))
        found.append(_of_words(connection, groups, level))
    return found


def _of_fact(fact: Fact, groups: Sequence[Group], level: float) -> Finding:
    if not enough(groups[0].label):
        return not_judged(fact.check, _few(groups[0]), _FEW)
    asked = [_jpegs(group) for group in groups] if fact.among_jpeg else list(groups)

    def one(group: Group) -> Auroc | None:
        if not enough(group.label):
            return None
        inputs = fact.inputs(group.rows)
        if (inputs == inputs[0]).all():  # nothing to learn from
            return Auroc(0.5, *interval(0.5, *group.counts, level), *group.counts, same=True)
        return cross_validated(fact.learn, inputs, group.label, level)

    values = [one(group) for group in asked]
    if not any(values):
        return not_judged(fact.check, f"among JPEGs: {_few(asked[0])}")
    return _finding(fact.check, asked, values, fact.seen, fact.advice)


def _jpegs(group: Group) -> Group:
    return group.only(pc.fill_null(pc.equal(group.rows["format"], "JPEG"), False).to_numpy())


def _of_names(groups: Sequence[Group], level: float) -> Finding:
    if not enough(groups[0].label):
        return not_judged(NAME, _few(groups[0]), _FEW)

    def texts(group: Group) -> tuple[Group, list[str]]:
        fewer = _fewer(group)
        return fewer, fewer.rows["uri"].to_pylist()

    advice = "no stage reads names; whoever else reads these files must not either"
    return _of_texts(NAME, (texts(one) for one in groups), name_tokens, advice, level)


def _of_words(connection: "DuckDBPyConnection", groups: Sequence[Group], level: float) -> Finding:
    if not enough(groups[0].label):
        return not_judged(WORDS, _few(groups[0]), _FEW)
    fewer = [_fewer(group) for group in groups]
    ids = pa.table({"image_id": pc.unique(pa.concat_tables([g.rows for g in fewer])["image_id"])})
    try:
        captions = _captions(connection, ids)
    except duckdb.CatalogException:
        return not_judged(WORDS, "several nodes make captions", "call one of them `captions`")
    if not len(captions):
        return not_judged(WORDS, "no captions", "`item run DAG` writes them, if a node does")

    def texts(group: Group) -> tuple[Group, list[str]]:
        at = pc.index_in(group.rows["image_id"], value_set=captions["image_id"])
        there = group.only(at.is_valid().to_numpy(zero_copy_only=False))
        return there, captions["caption"].take(at.drop_null()).to_pylist()

    advice = (
        "real and fake images show different things: match them, or read `caption text` beside "
        "every method"
    )
    return _of_texts(WORDS, (texts(one) for one in fewer), _words, advice, level)


def _captions(connection: "DuckDBPyConnection", ids: pa.Table) -> pa.Table:
    """Captions of the images of `ids` that have one."""
    asked = connection.from_arrow(ids)
    captions = connection.sql("select image_id, caption from captions where caption is not null")
    return captions.join(asked, "image_id").to_arrow_table().combine_chunks()


def _words(caption: str) -> list[str]:
    return re.findall(r"\w+", caption.lower())


def _of_texts(
    check: str,
    texts: Iterable[tuple[Group, list[str]]],
    tokens: Callable[[str], list[str]],
    advice: str,
    level: float,
) -> Finding:
    """What texts tell is worth a look, and no leak: no method reads a name, and words may differ
    because what is shown does."""
    groups, values, said = [], [], {}
    for group, lines in texts:
        groups.append(group)
        x, names = counted(lines, tokens) if enough(group.label) else (None, np.array([]))
        values.append(None)
        if x is not None:
            values[-1] = cross_validated(by_tokens, x, group.label, level)
            speak = telling(x, group.label, names).items()
            said[group.name] = "; ".join(f"{who}: {', '.join(some)}" for who, some in speak if some)
    if not any(values):
        return not_judged(check, _few(groups[0]))
    return _finding(check, groups, values, lambda group: said[group.name], advice, "look")


def _fewer(group: Group) -> Group:
    """`TEXTS` of each label at most, those of the least ids."""
    kept = np.zeros(len(group.label), bool)
    for value in (0, 1):
        kept[np.flatnonzero(group.label == value)[:TEXTS]] = True
    return group.only(kept)


def _telling(values: Sequence[Auroc | None], highest: Verdict) -> tuple[Verdict, int]:
    """The verdict, and the place of the group that it comes from: the first, if that says as much,
    else the one that tells most surely."""
    verdicts = [of_auroc(one.low, highest) if one else "not judged" for one in values]
    verdict = reduce(worse, verdicts)
    same = [place for place, own in enumerate(verdicts) if own == verdict]
    return verdict, 0 if 0 in same else max(same, key=lambda place: values[place].low)


def _finding(
    check: str,
    groups: Sequence[Group],
    values: Sequence[Auroc | None],
    seen: Callable[[Group], str],
    advice: str,
    highest: Verdict = "leak",
) -> Finding:
    verdict, place = _telling(values, highest)
    details: list[dict[str, Any]] = []
    for group, one in zip(groups, values, strict=True):
        reals, fakes = group.counts
        numbers = dict.fromkeys(("auroc", "low", "high"))
        if one is not None:
            numbers = {"auroc": one.value, "low": one.low, "high": one.high}
        counts = {"reals": reals, "fakes": fakes, "reals_of_others": group.borrowed}
        details.append({"generator": group.generator, **numbers, **counts})
    figure = f"AUROC {_words_of(values[0])}"
    if place:
        figure += f"; {groups[place].name} {_words_of(values[place])}"
    if verdict == "ok":
        return Finding(check, figure, verdict, details=tuple(details))
    said = seen(groups[place])
    said = f"{groups[place].name}: {said}" if place and said else said
    return Finding(check, figure, verdict, said, advice, tuple(details))


def _words_of(one: Auroc | None) -> str:
    if one and one.same:
        return f"{one.value:.3f}, the same of all"
    return f"{one.value:.3f} [{_end(one.low)}, {_end(one.high)}]" if one else "unknown for all"


def _end(value: float) -> str:
    return f"{value:.2f}" if value >= 0.995 else f"{value:.3f}".removeprefix("0")


def _few(group: Group) -> str:
    return "{:,} real and {:,} fake images: too few".format(*group.counts)
