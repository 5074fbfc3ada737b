"""The layout `regex`: a pattern of the user's own over whole paths.

It is RE2's language (pyarrow's `extract_regex`), whose time grows with the length of a path and no
faster, whatever the pattern: three million paths never take a night. It has neither lookaround nor
back-references.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.layouts.labels import Labels, Misfit
from pipeline.corpus.layouts.vocabulary import label_of, split_of
from pipeline.errors import nearest

GROUPS = ("label", "generator", "split", "class_name")
EXPECTS = "paths that match `corpus.pattern`, from the root to the file's name"


def check_pattern(pattern: str) -> None:
    """ValueError for a pattern that does not compile, or has groups that say nothing."""
    try:
        kind = pc.extract_regex(pa.array([""]), _whole(pattern)).type
    except pa.ArrowInvalid as error:
        said = str(error).replace(_whole(pattern), pattern)
        hint = "name each group, (?P<generator>…), or let it take nothing: (?:…)"
        raise ValueError(f"{said}; {hint}" if "unnamed" in said else said) from None
    names = [kind.field(i).name for i in range(kind.num_fields)]
    if not names:
        raise ValueError(f"the pattern has no named group; give it some of {', '.join(GROUPS)}")
    for name in names:
        if name not in GROUPS:
            raise ValueError(f"there is no group '{name}': {nearest(name, GROUPS)}")
        if names.count(name) > 1:
            raise ValueError(f"the group '{name}' is there twice")


def read_paths(pattern: str, paths: Sequence[str]) -> Iterator[Labels | Misfit]:
    """The labels of each whole path; a group that matched nothing says nothing.

    A label is a word of the vocabulary, or 0 or 1; a split that the vocabulary knows is called by
    its usual name.
    """
    found = pc.extract_regex(pa.array(paths, pa.string()), _whole(pattern))
    names = [found.type.field(i).name for i in range(found.type.num_fields)]
    matched = found.is_valid().to_pylist()
    columns = [column.to_pylist() for column in found.flatten()]
    known: dict[tuple[str | None, ...], Labels | Misfit] = {}
    none = Misfit("it does not match the pattern")
    for matches, texts in zip(matched, zip(*columns, strict=True), strict=True):
        if matches and texts not in known:
            known[texts] = _said(dict(zip(names, texts, strict=True)))
        yield known[texts] if matches else none


def _said(groups: dict[str, str]) -> Labels | Misfit:
    said = {name: text or None for name, text in groups.items()}
    word, split = said.pop("label", None), said.pop("split", None)
    label = None if word is None else label_of(word)
    if word is not None and label is None:
        return Misfit(f"'{word}' is no word for real or fake")
    return Labels(label, split=split and (split_of(split) or split), **said)


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"
