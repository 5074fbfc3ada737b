"""How images meet the rows of a file that the user brings: by what, and what is said of a miss."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import normalize

import pyarrow as pa
from pydantic import AfterValidator, ValidationInfo

from pipeline.corpus.names import local_name, path_of
from pipeline.corpus.sources.places import path_below, plain_name
from pipeline.corpus.variants import content_id
from pipeline.errors import UserError
from pipeline.spec import TypedPath

Way = Literal["path", "uri", "image_id", "sha256"]
WAYS = ("path", "uri", "image_id", "sha256")


def local_file(what: str, suffixes: tuple[str, ...]) -> Any:
    """The type of a parameter that names a file of `what`, relative to the DAG file."""

    def absolute(value: str, info: ValidationInfo) -> str:
        if "://" in value:
            raise ValueError(f"the file of {what} must be a local one")
        if not value.lower().endswith(suffixes):
            raise ValueError(f"the file's name must end in one of {', '.join(suffixes)}")
        base: Path = (info.context or {}).get("base", Path())
        return str((base / Path(value).expanduser()).resolve())

    return Annotated[str, AfterValidator(absolute), TypedPath()]


def _root(value: str | None, info: ValidationInfo) -> str | None:
    context = info.context or {}
    if value is None:
        return context.get("root")
    if "://" in value:
        return value
    return str((context.get("base", Path()) / Path(value).expanduser()).resolve())


# what paths in a file are relative to: the corpus's root unless stated
Root = Annotated[str | None, AfterValidator(_root), TypedPath()]


def keys(images: pa.Table, way: str, root: str | None, file: str) -> list[str | None]:
    """By what each row of `images` is looked up in `file`: its path below `root`, its `uri`, ….

    `image_id` is that of the clean image; `name` the last part of the path. UserError where there
    is no such path.
    """
    if way == "image_id":
        return [content_id(image_id) for image_id in images["image_id"].to_pylist()]
    if way == "name":
        return [name_of(uri) for uri in images["uri"].to_pylist()]
    if way != "path":
        return images[way].to_pylist()
    if root is None:
        raise UserError(
            "paths in the file are relative to a folder that is not known",
            file,
            "set `root` to the corpus root",
        )
    paths: list[str | None] = []
    for uri in images["uri"].to_pylist():
        path = path_below(root, uri)
        if path is None:
            raise UserError(
                f"{uri} does not lie below {root}, so it has no path there",
                file,
                "correct `root`, or match by uri, image_id or sha256",
            )
        paths.append(path)
    return paths


def name_of(uri: str) -> str:
    """The last part of a file's path, wherever the file lies."""
    return path_of(plain_name(local_name(uri)).rpartition("/")[2])


def hint(has: Callable[[str], bool], way: str, key: str | None) -> str:
    """What is said of a key that the file has not, where it has one like it.

    Only the key itself is ever matched: two folders of a corpus often hold files of one name.
    """
    if key is None:
        return ""
    name = key.rpartition("/")[2]
    if way == "path" and name != key and has(name):
        return f" (it has only '{name}': write whole paths below the root)"
    alike = [normalize(form, key) for form in ("NFC", "NFD")] + [key.lower(), key.upper()]
    other = next((one for one in alike if one != key and has(one)), None)
    if other is None:
        return ""
    spelt = "in other Unicode letters" if normalize("NFC", other) == normalize("NFC", key) else ""
    return f" (it has '{other}' {spelt or 'in other letters'}: names are compared letter by letter)"
