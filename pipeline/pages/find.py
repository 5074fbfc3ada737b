"""Which image of a corpus is meant: by its id, by the beginning of one, or by a path."""

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.corpus.sources.packed.members import AS_IN_FOLDER, MEMBER
from pipeline.corpus.variants import ID_LENGTH, content_id
from pipeline.errors import UserError
from pipeline.pages.gallery import short_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag

_SHORTEST = 4  # digits of an id's beginning
_NAMED = 3  # in a message
_ALIKE = 0.5  # of a text: with more letters that differ, a path is nothing like it
_PLACE = f"regexp_replace(uri, '{MEMBER}', '{AS_IN_FOLDER}')"  # SQL: where an image lies


def find(connection: "DuckDBPyConnection", dag: "Dag", given: str) -> str:
    """The image_id (of the content, without a variant) that `given` names.

    An id, with or without a variant; the first four digits of it or more; the uri of a file; its
    path below the corpus's root, or the end of it, where an archive or a table is like a folder; or
    a file anywhere that has the same bytes as one of the corpus. UserError where there is none,
    with the nearest, or where several fit.
    """
    if re.fullmatch(rf"[0-9a-f]{{{_SHORTEST},{ID_LENGTH}}}", content_id(given)):
        found = _some(connection, "starts_with(image_id, $text)", content_id(given))
        if len(found) == 1:
            return found[0][0]
        if found:
            _several(
                given, [f"{one[:12]}… {short_path(uri, dag.corpus.root)}" for one, uri in found]
            )
    ways = [given, str(Path(given).expanduser().absolute()), f"{dag.corpus.root}/{given}"]
    for way in ways:
        if found := _some(connection, f"$text in (uri, {_PLACE})", way):
            return found[0][0]
    found = _some(connection, f"ends_with({_PLACE}, $text)", f"/{given.lstrip('/')}")
    if len(found) == 1:
        return found[0][0]
    if found:
        _several(given, [short_path(uri, dag.corpus.root) for _, uri in found])
    if same := _same_bytes(connection, given):
        return same
    raise UserError(
        f"there is no image '{given}' in the corpus",
        dag.corpus.root,
        _nearest(connection, dag, given),
    )


def _some(connection: "DuckDBPyConnection", where: str, text: str) -> list[tuple[str, str]]:
    """(image_id, its first uri) of a few images that fit."""
    sql = (
        f"select image_id, min(uri) from listing where image_id is not null and {where} "
        f"group by image_id order by min(uri) limit {_NAMED + 1}"
    )
    return connection.execute(sql, {"text": text}).fetchall()


def _several(given: str, names: list[str]) -> None:
    more = "" if len(names) <= _NAMED else " and more"
    raise UserError(
        f"'{given}' fits several images",
        None,
        f"give more of it: {', '.join(names[:_NAMED])}{more}",
    )


def _same_bytes(connection: "DuckDBPyConnection", given: str) -> str | None:
    """The image with the content of a file that lies anywhere."""
    path = Path(given).expanduser()
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            digest = sha256()
            while block := file.read(2**20):
                digest.update(block)
    except (OSError, ValueError):  # a name that is none
        return None
    found = _some(connection, "image_id = $text", digest.hexdigest()[:ID_LENGTH])
    return found[0][0] if found else None


def _nearest(connection: "DuckDBPyConnection", dag: "Dag", given: str) -> str:
    sql = (
        f"select uri, levenshtein(right({_PLACE}, length($text)), $text) from listing "
        "where image_id is not null order by 2, 1 limit 1"
    )
    found = connection.execute(sql, {"text": given}).fetchall()
    if not found:
        return "the corpus has no image that could be read"
    ((uri, apart),) = found
    alike = apart <= _ALIKE * len(given)  # some path is always the nearest
    near = f"the nearest is {short_path(uri, dag.corpus.root)}; " if alike else ""
    return f"{near}`item query DAG 'select uri, image_id from listing'` shows all"
