"""`layout: auto`: which layout a corpus has, by what its folders are called."""

from collections.abc import Sequence

from pipeline.corpus.layouts.genimage import INNER
from pipeline.corpus.layouts.labels import Labels
from pipeline.corpus.layouts.plain import IMAGEFOLDER, UNLABELLED
from pipeline.corpus.layouts.registry import LAYOUTS, Reading
from pipeline.corpus.layouts.roots import NEARLY, better_roots, last_name
from pipeline.corpus.layouts.survey import Survey, again, survey
from pipeline.corpus.layouts.vocabulary import NUMBERS, is_generator, named_label
from pipeline.corpus.names import folders_of, readable
from pipeline.corpus.sources.found import Found
from pipeline.errors import UserError

_KEY = "corpus.layout"


def layout_of(found: Found, root: str) -> str:
    """`recognised`; where a source says itself what is real, its paths are asked for nothing."""
    if found.files["label"].null_count < len(found.files):
        return UNLABELLED.name
    return recognised(found.files["path"].to_pylist(), root)


def recognised(paths: Sequence[str], root: str) -> str:
    """The name of the one layout that nearly all of these paths below `root` fit.

    A layout that reads more of the same paths is taken before one that reads less; what no layout
    knows, and has no word for real or fake in it, is unlabelled. Raises UserError where two fit
    that read different labels, where numbered folders may be labels or classes, where only some
    paths have labels, and where another root would fit.
    """
    plain = survey(Reading(UNLABELLED.name), paths)
    fits: dict[str, Survey] = {}
    tried: list[Survey] = []
    for name, layout in LAYOUTS.items():
        if name == UNLABELLED.name:
            continue
        one = again(Reading(name), plain.counts, plain.first)
        tried.append(one)
        enough = one.paths - one.misfits >= NEARLY * one.paths > 0
        if enough and (layout.signs is None or layout.signs(one.fitting)):
            fits[name] = one
    refined = {other for name in fits for other in LAYOUTS[name].refines}
    left = [one for name, one in fits.items() if name not in refined]
    for other in left[1:]:
        _check_same(left[0], other, root)
    if left:
        name = left[0].reading.layout
        if name == IMAGEFOLDER.name:
            # any folder will do for a generator: only a known one says that the root is too low
            known = is_generator(last_name(root)) or last_name(root) in INNER
            _check_level(tried[:-1], root, ("high", "low") if known else ("high",))
            _check_words(left[0], root)
        return name
    _check_level(tried, root, ("high", "low"))
    _check_none(tried[-1], root)
    return UNLABELLED.name


def _check_same(one: Survey, other: Survey, root: str) -> None:
    for place, said in one.found.items():
        if said != other.found[place]:
            names = f"{one.reading.layout} and {other.reading.layout}"
            raise UserError(
                f"two layouts fit this corpus, {names}, and read it differently",
                f"{root}, for example {readable(one.first[place])}: {said} or {other.found[place]}",
                f"write which one it is: `{_KEY}: {one.reading.layout}`",
            )


def _check_words(found: Survey, root: str) -> None:
    """Numbers alone are labels or classes: nobody can tell."""
    words = {name for folders in found.fitting for name in folders}
    if not any(named_label(word) is not None for word in words):
        raise UserError(
            f"folders called {' and '.join(sorted(words & NUMBERS.keys()))} may be labels or "
            "classes",
            root,
            f"write `{_KEY}: imagefolder` where 0 is real and 1 is fake, `{_KEY}: regex` with a "
            f"pattern where it is the other way round, `{_KEY}: unlabelled` where they are classes",
        )


def _check_level(tried: Sequence[Survey], root: str, wrong: Sequence[str]) -> None:
    """Another root, above (this is too low) or below, may fit one of the layouts."""
    for one in tried:
        for folders, where in better_roots(one, root):
            name = one.reading.layout
            if where in wrong:
                raise UserError(
                    f"this would be {name} if the corpus root were not too {where}",
                    root,
                    f"set `corpus.root` to {folders[0]}, or write the `{_KEY}` that is meant",
                )


def _check_none(words: Survey, root: str) -> None:
    """Labels of some of the images are not lost without a word."""
    some = [place for place, one in words.found.items() if isinstance(one, Labels)]
    named = [
        place
        for place in some
        if any(named_label(name) is not None for name in folders_of(words.first[place]))
    ]
    if named:
        labelled = sum(words.counts[place] for place in named)
        other = next(path for place, path in words.first.items() if place not in some)
        raise UserError(
            f"folders say real or fake of {labelled:,} images and not of the other "
            f"{words.paths - labelled:,}, so no layout is recognised",
            f"{root}, for example {readable(words.first[named[0]])} and {readable(other)}",
            f"write `{_KEY}: imagefolder` (the others stay without labels), `unlabelled` or regex",
        )
