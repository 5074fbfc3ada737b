"""A run of a store as a detector needs it: its DAG, checked to be what it was made from."""

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.head.run import plugins
from pipeline.plan.recipe_changes import differences
from pipeline.predict.applied import Reading
from pipeline.predict.detector import Meant
from pipeline.predict.percentiles import Percentiles
from pipeline.predict.trained import Trained, chosen, read
from pipeline.shipped import folder
from pipeline.store.parts import Store
from pipeline.store.run_folders import EXPERIMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.dag.graph import Dag, Node


def meant(
    run: str,
    dag: "Dag | str | None",
    store: Path,
    method: str | None = None,
    overrides: "Sequence[str] | None" = None,
) -> Meant:
    """The run, checked against its DAG as that is now: see `pipeline.predict.detector.Detector`.

    UserError for a run that is not there, and for one of other nodes.
    """
    trained = None
    if dag is None:
        if not Path(run).is_dir():
            raise UserError(
                f"by which DAG was '{run}' trained?",
                hint="say it, Detector.load(run, dag='demo'), or give the run's folder",
            )
        trained = read(Path(run))
        dag, store = _dag_called(trained.dag), _store_of(trained.folder, store)
    graph, cache = loaded(dag, overrides), Store(store)
    trained = trained or chosen(run, graph, cache)
    reading = Reading.of(graph, trained.experiment, trained.method(method))
    check_same(reading, graph, trained, cache)
    try:
        percentiles, notes = Percentiles.cached(graph, cache, trained.experiment.variant), ()
    except UserError as error:
        percentiles, notes = Percentiles(), (f"no percentiles: {error.what}",)
    return Meant(trained, reading, trained.head(reading.method), percentiles, notes)


def loaded(dag: "Dag | str", overrides: "Sequence[str] | None" = None) -> "Dag":
    """The DAG, of its name or itself; UserError for overrides that come too late."""
    if isinstance(dag, str):
        return load(dag, list(overrides or []))
    if overrides:
        hint = "give them to Dag.load"
        raise UserError("a loaded DAG takes no overrides any more", str(dag.path), hint)
    return dag


def check_same(reading: Reading, graph: "Dag", trained: Trained, cache: Store | None) -> None:
    """UserError, with both fingerprints, for the first node that would compute something else.

    And for a plugin whose source is another.
    """
    now = plugins(trained.experiment)
    for name, before in trained.plugins.items():
        if now.get(name) != before:
            raise UserError(
                f"the plugin's {name} is {now.get(name, 'not here')[:16]} now, and the run was "
                f"made with {before[:16]}",
                f"{graph.path}: plugins",
                "take the plugin that it was trained with, or train again: `item train DAG`",
            )
    for node in reading.nodes:
        before = trained.made_from.get(node.name)
        if node.fingerprint in (before, *trained.made_from.values()):
            continue
        was = f"the run was made from {before}" if before else "the run knows no such node"
        raise UserError(
            f"'{node.name}' is {node.fingerprint} now, and {was}",
            f"{graph.path}: nodes.{node.name}",
            f"{_changed(node, before, cache)}take the DAG file, models and --set that it was "
            "trained with, or train again: `item run DAG`",
        )


def _changed(node: "Node", before: str | None, cache: Store | None) -> str:
    recipes = [] if cache is None else cache.recipes(node.stage.name)
    old = next((one for one in recipes if one["fingerprint"] == before), None)
    found = [] if old is None else differences(old, node.recipe)
    return f"changed: {', '.join(found)}; " if found else ""


def _dag_called(name: str) -> str:
    """The DAG of this name: of a file in this folder, or a shipped one. UserError for none."""
    for path in sorted(Path().glob("*.y*ml")):
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(raw, dict) and raw.get("name") == name and "nodes" in raw:
            return str(path.absolute())
    if (folder("dags") / f"{name}.yaml").is_file():
        return name
    raise UserError(
        f"the run was trained by a DAG called '{name}', and none is here",
        hint="say which file it is: Detector.load(run, dag=…)",
    )


def _store_of(run: Path, store: Path) -> Path:
    """The store that a run's folder lies in, where it lies in one."""
    above = run.resolve().parents
    return above[2] if len(above) > 2 and (run / EXPERIMENT).is_file() else store
