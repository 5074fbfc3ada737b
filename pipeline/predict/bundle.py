"""A run as one folder or zip that judges images on a machine without its store.

    export.json                   the run, what its validation images decided, the cached reals
    head.safetensors, head.json   the weights of each method (`pipeline.head.methods.mlp`)
    dag.yaml, dag.lock            the nodes, and the revisions of their models
    model_card.md                 what a reader of the head must know

Models and plugins are no part of it. A plugin is given by whoever judges, `--set plugins=[FILE]`,
and must be the one that the run was trained with. Models that `item` brings are found in every copy
of it, those of a hub by the revisions of the lock, and a folder by its path and by the hash of its
files.

What is read may come from anybody: nothing is unpickled or run, no file is written but those of the
list above, and a captioner's own code is run for those only who ask for it themselves.
"""

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from pipeline.corpus.limits import Limits
from pipeline.dag import file
from pipeline.dag.graph import load
from pipeline.errors import UserError, refusals_explained, worded
from pipeline.head.run import plugins
from pipeline.plugins import offered
from pipeline.plugins.offered import Offer
from pipeline.predict.applied import Reading
from pipeline.predict.detector import Meant
from pipeline.predict.found_run import check_same
from pipeline.predict.names import ABOUT
from pipeline.predict.percentiles import LEVELS, Percentiles
from pipeline.predict.trained import Trained
from pipeline.shipped import portable
from pipeline.store.run_folders import CARD
from pipeline.version import __version__

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag, Node

FORMAT = 1
DAG, LOCK = "dag.yaml", "dag.lock"
_HEAD = re.compile(r"(head|method-\d{1,4})\.(safetensors|json)")
_MOST = 2**30  # bytes of all files: heads have some millions of weights
_MOST_FILES = 10_000
_OF_HERE = {"device", "batch_size", "threads", "compile"}  # what suits this machine
_ADVICE = "get it again, or write it anew with `item export DAG RUN`"


def export(graph: "Dag", meant: Meant, out: Path) -> list[str]:
    """Writes an export, a folder or a .zip that is not there yet; returns what it needs elsewhere.

    UserError where the place is taken or cannot be written.
    """
    if os.path.lexists(out):
        raise UserError("there is something of this name already", str(out), "give another --out")
    if not out.absolute().parent.is_dir():
        raise UserError("there is no such folder", str(out.absolute().parent), "give another --out")
    files = dict(_files(graph, meant))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with refusals_explained("the export cannot be written"):
        try:
            if out.suffix.lower() == ".zip":
                with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                    for name, data in files.items():
                        archive.writestr(zipfile.ZipInfo(name), data)
            else:
                temporary.mkdir()
                for name, data in files.items():
                    (temporary / name).write_bytes(data)
            temporary.rename(out)
        finally:
            _remove(temporary)
    lines = [line for node in meant.reading.nodes for line in _needs(node)]
    files = ", ".join(one.place for one in _plugins(meant))
    return [*lines, *([f"plugins: --set plugins=[…], copies of {files}"] if files else [])]


def _plugins(meant: Meant) -> list[Offer]:
    """Those by which the run was made, and judges."""
    experiment, nodes = meant.trained.experiment, meant.reading.nodes
    named = [("stage", node.stage.name) for node in nodes if "source" in node.recipe]
    named += [
        ("captioner", model["plugin"])
        for node in nodes
        for model in node.recipe["models"]
        if "plugin" in model
    ]
    named += [tuple(one.split(" ", 1)) for one in plugins(experiment)]
    return [offer for kind, name in named if (offer := offered.find(kind, name))]


def _remove(path: Path) -> None:
    if path.is_dir():
        for one in path.iterdir():
            one.unlink()
        path.rmdir()
    path.unlink(missing_ok=True)


def _files(graph: "Dag", meant: Meant) -> Iterator[tuple[str, bytes]]:
    percentiles, reading = meant.percentiles, meant.reading
    about = {
        "format": FORMAT,
        "item": __version__,
        "method": reading.method,
        **meant.trained.plain(),
        "offers": {f"{one.kind} {one.name}": one.digest for one in _plugins(meant)},
        "reals": {
            level: {"count": percentiles.counts[level], "distances": found.tolist()}
            for level, found in percentiles.distances.items()
        },
    }
    yield ABOUT, f"{json.dumps(about, indent=1)}\n".encode()
    for path in sorted(meant.trained.folder.iterdir()):
        if _HEAD.fullmatch(path.name) or path.name == CARD:
            yield path.name, path.read_bytes()
    yield DAG, _dag_text(graph, reading.nodes).encode()
    if graph.lock.models:
        yield LOCK, graph.lock.path.read_bytes()


def _dag_text(graph: "Dag", nodes: Sequence["Node"]) -> str:
    """A DAG file of these nodes, as they are with every --set."""
    written = {}
    for node in nodes:
        given = node.parameters.model_dump(mode="json", exclude_unset=True)
        written[node.name] = {"stage": node.stage.name, **node.inputs, **_portable(given)}
        if node.stage.name == "provided_embeddings":  # a DAG file tells it by its table
            written[node.name] |= {"stage": "provided", "table": node.stage.output}
    corpus = {"root": "images", "formats": list(graph.corpus.formats)}
    raw = {"name": graph.name, "corpus": corpus, "nodes": written}
    text = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=100)
    return f"# Written by `item export`; of `corpus` only `formats` is read again.\n{text}"


def _portable(value: Any) -> Any:
    """Parameters without pins, which the lock has, and with bundled models by their own name."""
    if isinstance(value, dict):
        return {name: _portable(one) for name, one in value.items() if name not in _OF_HERE}
    if not isinstance(value, str):
        return value
    start = "local-dir:" if value.startswith("local-dir:") else ""
    path = value.removeprefix(start)
    if path.startswith("/"):
        return f"{start}{portable(path)}"
    return re.sub(r"@([0-9a-f]{40}|[0-9a-f]{64})$", "", value)


def _needs(node: "Node") -> Iterator[str]:
    """What of a node's is no part of an export and not in every copy of `item`."""
    for name, value in _texts(_portable(node.parameters.model_dump(mode="json"))):
        path = value.removeprefix("local-dir:")
        if path.startswith("/"):
            hashes = json.dumps(node.recipe["models"])
            yield f"{node.name}: {path}, there or by --set {node.name}.{name}=… ({hashes})"


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, f"{name}.{key}" if name else key)
    elif isinstance(value, str):
        yield name, value


def opened(place: Path, method: str | None = None, overrides: Sequence[str] | None = None) -> Meant:
    """The run of an export, checked against this copy of `item` and the models of this machine.

    UserError, in a line, for whatever is wrong with it, and for a model that is not here.
    """
    with tempfile.TemporaryDirectory(prefix="item-export-") as folder:
        try:
            _unpack(place, Path(folder))
            return _meant(place, Path(folder), method, list(overrides or []))
        except UserError as error:  # nobody knows the folder that it was read from
            where = (error.where or str(place)).replace(folder, str(place))
            what = " ".join(error.what.replace(folder, str(place)).split())  # YAML's has lines
            raise UserError(what, where, error.hint) from None


def _unpack(place: Path, folder: Path) -> None:
    """Copies the files that belong to an export, and no other, by our own names for them."""
    try:
        if place.is_dir():
            names = [name for name in os.listdir(place) if _belongs(name)]
            if sum((place / name).stat().st_size for name in names) > _MOST:
                raise ValueError(f"its files take more than {_MOST:,} bytes")
            for name in names:
                if not (place / name).is_file():
                    raise ValueError(f"{name} is no file")
                (folder / name).write_bytes((place / name).read_bytes())
            return
        with zipfile.ZipFile(place) as archive:
            found = [one for one in archive.infolist() if _belongs(one.filename)]
            if len(found) > _MOST_FILES or sum(one.file_size for one in found) > _MOST:
                raise ValueError(f"its files take more than {_MOST:,} bytes")
            for one in found:
                with archive.open(one) as stream:
                    data = stream.read(one.file_size + 1)
                if len(data) > one.file_size:
                    raise ValueError(f"{one.filename} is larger than it says")
                (folder / one.filename).write_bytes(data)
    except FileNotFoundError:
        raise UserError("there is no such export", str(place), "`item export` writes one") from None
    except Exception as error:  # zipfile raises anything on damaged archives
        raise _damaged(place, worded(error)) from None


def _belongs(name: str) -> bool:
    return name in (ABOUT, DAG, LOCK, CARD) or bool(_HEAD.fullmatch(name))


def _damaged(place: Path, why: str) -> UserError:
    return UserError(f"this is no export that can be read: {why}", str(place), _ADVICE)


def _meant(place: Path, folder: Path, method: str | None, overrides: list[str]) -> Meant:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, and this version reads {FORMAT}")
        dag = folder / DAG
        if not dag.is_file():
            raise ValueError(f"{DAG} is missing")
        _check_plugins(about.get("offers", {}), dag, place, overrides)
        trained = Trained.from_plain(about, folder)
        percentiles = _reals(about["reals"])
        best = method or about["method"]
        if best not in trained.choices:
            raise ValueError(f"it has no method {best!r}")
    except FileNotFoundError:
        raise _damaged(place, f"{ABOUT} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = str(error).splitlines()
        raise _damaged(place, said[0] if said else worded(error)) from None
    try:
        graph = load(str(dag), overrides)
    except RecursionError as error:
        raise _damaged(place, worded(error)) from None
    _check_code(graph, place, overrides)
    reading = Reading.of(graph, trained.experiment, trained.method(best))
    if not any(one.startswith("corpus.limits") for one in overrides):
        # what an image may cost is for this machine to say
        taken = reading.taken.model_copy(update={"limits": Limits()})
        reading = replace(reading, taken=taken)
    try:
        check_same(reading, graph, trained, None)
    except UserError as error:
        hint = "the models of this machine, or this version of item, are not those of the export: "
        hint += f"it was written by item {about.get('item')}, and this is {__version__}"
        raise UserError(error.what, f"{place}: {DAG}", hint) from None
    return Meant(trained, reading, trained.head(reading.method), percentiles)


def _check_plugins(
    offers: Mapping[str, str], dag: Path, place: Path, overrides: Sequence[str]
) -> None:
    """UserError where plugins are needed that the user has not given: an export's never run."""
    if any(one.startswith("plugins=") for one in overrides):
        file.read(dag, list(overrides))  # from now on the names that they offer are known
        return
    raw = file.mapping(dag)
    if raw.get("plugins"):
        raise UserError("its DAG names plugins, which would run", f"{place}: {DAG}", _ADVICE)
    if offers:
        named = ", ".join(f"{name} ({digest[:16]})" for name, digest in offers.items())
        hint = "give the files that the run was trained with: --set plugins=[./FILE.py]"
        raise UserError(f"it needs plugins, which are not part of it: {named}", str(place), hint)


def _check_code(graph: "Dag", place: Path, overrides: Sequence[str]) -> None:
    """UserError where a model's own code would be run by the export's wish, and not the user's."""
    for node in graph.nodes.values():
        key = f"{node.name}.trust_remote_code"
        asked = any(one.removeprefix("nodes.").startswith(f"{key}=") for one in overrides)
        if getattr(node.parameters, "trust_remote_code", False) and not asked:
            raise UserError(
                f"'{node.name}' would run code that comes with its model",
                f"{place}: {DAG}",
                f"if you trust whoever made model and export: --set {key}=true",
            )


def _reals(plain: Mapping[str, Any]) -> Percentiles:
    """ValueError, KeyError or TypeError for what is no ascending list of distances."""
    distances, counts = {}, {}
    for level in LEVELS:
        if level in plain:
            found = np.array(plain[level]["distances"], np.float64)
            if found.ndim != 1 or len(found) < 2 or not (np.diff(found) >= 0).all():
                raise ValueError(f"reals.{level} are no ascending distances")
            distances[level], counts[level] = found, int(plain[level]["count"])
    return Percentiles(distances, counts)
