"""Roots at the wrong level: too high or too low for a layout, said with the folder to use."""

from collections import Counter
from collections.abc import Iterator

from pipeline.corpus.layouts.labels import Misfit
from pipeline.corpus.layouts.registry import NAMES, REGEX
from pipeline.corpus.layouts.registry import find as find_layout
from pipeline.corpus.layouts.survey import Survey, again
from pipeline.corpus.names import folders_of, readable
from pipeline.corpus.sources.places import plain_name
from pipeline.errors import UserError

NEARLY = 0.9  # share of the paths: a few stray files decide nothing
_DOWN, _UP = 3, 2  # levels that are tried


def check_root(found: Survey, root: str) -> list[str]:
    """Warnings of a root that may be at the wrong level; [] where all is well.

    Raises UserError, which names the folder to use, where it surely is: where by no means all paths
    fit, and nearly all would from another folder on; or by the layout's own doubts. And UserError
    with examples where no path fits at all.
    """
    if not found.paths:
        return []
    layout = found.reading.layout
    if found.misfits > (1 - NEARLY) * found.paths:
        for folders, where in better_roots(found, root):
            raise _wrong(found, root, folders, where)
        if found.misfits == found.paths:
            _raise_misfit(found, root)
    named = find_layout(layout)
    doubts = named.doubts if named else None
    doubt = doubts(found.fitting, last_name(root)) if doubts else None
    if doubt is None:
        return []
    folder = _joined(root, _as_it_lies(found, doubt.folder))
    if doubt.sure:
        raise UserError(
            f"the corpus root is a level too {'low' if doubt.folder == '..' else 'high'} for the "
            f"layout {layout}: {doubt.why}",
            root,
            f"set `corpus.root` to {folder}",
        )
    return [f"{doubt.why}: is that right? If not, set `corpus.root` to {folder}"]


def better_roots(found: Survey, root: str) -> Iterator[tuple[list[str], str]]:
    """(folders from which on nearly all paths would fit, `high` or `low`), the nearest first."""
    if found.reading.layout == REGEX:
        return
    first = {place: readable(path) for place, path in found.first.items()}
    for levels in range(1, _DOWN + 1):
        deep = {place: path for place, path in first.items() if path.count("/") >= levels}
        heads = Counter[str]()
        cut = {}
        for place, path in deep.items():
            *above, rest = path.split("/", levels)
            cut[place] = rest
            heads["/".join(above)] += found.counts[place]
        if _fits(found, cut):
            yield [_joined(root, head) for head, _ in heads.most_common()], "high"
            return
    names = plain_name(root).split("/")
    for levels in range(1, min(_UP, len(names) - 1) + 1):
        above = "/".join(names[-levels:])
        if _fits(found, {place: f"{above}/{path}" for place, path in first.items()}):
            yield [_joined(root, "/".join([".."] * levels))], "low"
            return


def _fits(found: Survey, paths: dict[str, str]) -> bool:
    other = again(found.reading, {place: found.counts[place] for place in paths}, paths)
    return other.paths - other.misfits >= NEARLY * found.paths


def _as_it_lies(found: Survey, folder: str) -> str:
    """The folders below the root up to the one that a layout calls `folder`."""
    called = tuple(folder.split("/"))
    for path in found.first.values():
        names = readable(path).split("/")[:-1]
        for end in range(1, len(names) + 1):
            place = "/".join(names[:end])
            if folders_of(f"{place}/")[-len(called) :] == called:
                return place
    return folder


def _wrong(found: Survey, root: str, folders: list[str], where: str) -> UserError:
    several = f" (or one of {len(folders) - 1} others beside it)" if len(folders) > 1 else ""
    return UserError(
        f"the corpus root is too {where} for the layout {found.reading.layout}, which expects "
        f"{found.reading.expects}",
        root,
        f"set `corpus.root` to {folders[0]}{several}",
    )


def _raise_misfit(found: Survey, root: str) -> None:
    reading = found.reading
    examples = " and ".join(repr(readable(path)) for path in list(found.first.values())[:2])
    why = next(one for one in found.found.values() if isinstance(one, Misfit))
    raise UserError(
        f"no file fits the layout {reading.layout}, which expects {reading.expects}",
        f"{root}, for example {examples} ({why})",
        "point `corpus.root` at the folder that holds these levels, or choose another "
        f"`corpus.layout`: {', '.join(NAMES)}",
    )


def last_name(root: str) -> str:
    """What a root's own folder is called."""
    return plain_name(root).rpartition("/")[2]


def _joined(root: str, folder: str) -> str:
    """A folder below or above a root, as a user would write it."""
    base, parts = root.rstrip("/"), folder.split("/")
    while parts[:1] == [".."]:
        base, parts = base.rpartition("/")[0], parts[1:]
    return "/".join([base or "/", *parts]).replace("//", "/", int(not base))
