"""`item gc`: what of a store no DAG needs any more."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.call import Call, reported, say
from pipeline.cli.console import print_rows
from pipeline.cli.options import (
    DEFAULT_STORE,
    JsonOption,
    LimitOption,
    SetOption,
    StoreOption,
    chosen_dag,
    complete_dag,
    dags_here,
    limited,
    shipped,
)
from pipeline.errors import UserError, many

if TYPE_CHECKING:
    from pipeline.store.parts import Store


def gc(
    dags: Annotated[
        list[str] | None,
        typer.Argument(
            help="All DAGs whose caches are to be kept. Default, but with --delete: the DAG file "
            "of this folder.",
            autocompletion=complete_dag,
            show_default=False,
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete; without it, only list.")
    ] = False,
    overrides: SetOption = None,
    limit: LimitOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List (or delete) cached nodes that none of these DAGs uses, and parts that nothing asks for.

    Such parts are of variants that none of them names, or of images that no listing has. And bad
    parts that `item verify --fix` set aside, and unfinished runs older than a day.
    """
    with reported("gc", None, overrides, limit, store, as_json, needs_dag=False) as call:
        from pipeline.store.parts import Store
        from pipeline.store.upkeep import garbage

        cache = Store(store)
        if delete and not dags:
            hint = f"name all of them: `{_deleting(call, _dags_of(cache))}`"
            raise UserError("--delete keeps what the named DAGs use", hint=hint)
        named = dags or [chosen_dag(None)]
        cache.check_there()
        kept = _kept(named, limited(overrides, limit), cache)
        unused = [*garbage.unused(cache, kept), *garbage.left_over(cache)]
        if not as_json:
            rows = [(one.folder, one.about, f"{one.bytes / 1e6:.1f} MB") for one in unused]
            print_rows(("node folder", "what", "size"), rows)
        for one in unused if delete else ():
            garbage.delete(cache, one)
        left = sum(one.left_over for one in unused)
        folders = sum(one.parts is None for one in unused) - left
        total = sum(one.bytes for one in unused)
        if as_json:
            found = [
                {
                    "folder": one.folder,
                    "what": one.about,
                    "bytes": one.bytes,
                    "left_over": one.left_over,
                }
                for one in unused
            ]
            call.answer({"unused": found}, bytes=total, deleted=delete)
            return
        done = "deleted" if delete else f"not used by {', '.join(named)}"
        say(f"{_counted(folders, len(unused) - folders - left, left)}, {total / 1e6:.1f} MB {done}")
        if unused and not delete:
            say(f"`{_deleting(call, named)}` removes them")


def _counted(folders: int, parts: int, left: int) -> str:
    others = f", and parts of {many(parts, 'other')}" if parts else ""
    more = f", {many(left, 'folder')} left over" if left else ""
    return f"{many(folders, 'node folder')}{others}{more}"


def _deleting(call: Call, dags: list[str]) -> str:
    """The command that deletes what these DAGs do not use."""
    words = [word for override in call.overrides for word in ("--set", override)]
    words += ["--limit", str(call.limit)] if call.limit else []
    words += ["--store", str(call.store)] if call.store != DEFAULT_STORE else []
    return shlex.join(["item", "gc", *dags, *words, "--delete"])


def _dags_of(cache: "Store") -> list[str]:
    """The DAGs by which a store's nodes were made, as a command names them, `DAG` for unknown ones.

    Those of this folder's files, and shipped ones, are known by the name that is in them.
    """
    from pipeline.dag.file import mapping
    from pipeline.store.upkeep import garbage

    known = {name: [name] for name in shipped()}
    for file in dags_here():
        with suppress(UserError):  # what is wrong in it is said where it is named
            known.setdefault(str(mapping(Path(file)).get("name")), []).append(file)
    named = {word for name in garbage.dags(cache) for word in known.get(name, ["DAG"])}
    return sorted(named) or ["DAG"]


def _kept(dags: list[str], overrides: list[str], cache: "Store") -> dict[str, set[str]]:
    """The node folders that these DAGs use, with the tags of their variants."""
    from pipeline.corpus.variants import tag
    from pipeline.dag.graph import load
    from pipeline.store.upkeep import lost_lock

    kept: dict[str, set[str]] = {}
    for dag in dags:
        graph = load(dag, overrides)
        lost_lock.check(graph, cache)  # without its lock a DAG does not know its own cache
        for node in graph.nodes.values():
            tags = (tag(name) for name in graph.corpus.splits_of)
            kept.setdefault(node.folder, set()).update(tags)
    return kept
