"""The DAG: named nodes with explicit inputs, checked, in topological order, and fingerprinted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

from pipeline.corpus.layouts.registry import NAMES as LAYOUTS
from pipeline.dag import elsewhere
from pipeline.dag import file as config
from pipeline.dag import lock as locks
from pipeline.dag.cluster import Cluster
from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError, nearest
from pipeline.plugins import offered
from pipeline.plugins.offered import Offer
from pipeline.shipped import folder, portable
from pipeline.spec import Parameters, Stage, output_parameters, phrase_template
from pipeline.stages.registry import BY_TABLE, MODULES, for_table, get_stage
from pipeline.tables import COLUMNS

_IMPLICIT = ("listing", "images")  # made from `corpus:`
# what `stage:` may say: what is told by `table:` has one name in a DAG file
_NAMED = set(MODULES) - {name for made in BY_TABLE.values() for name in made.values()}
_NAMED = (_NAMED | set(BY_TABLE)) - set(_IMPLICIT)


@dataclass(frozen=True)
class Node:
    """A stage placed in a DAG. `inputs` maps the stage's input names to node names."""

    name: str
    stage: Stage
    inputs: Mapping[str, str]
    parameters: Parameters
    fingerprint: str
    recipe: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """The node's place in a store: `<stage>/<fingerprint>`."""
        return f"{self.stage.name}/{self.fingerprint}"


@dataclass(frozen=True)
class Dag:
    """A validated DAG; `nodes` is in topological order, `listing` and `images` first.

    `absent`: the nodes whose models are not on this machine, if it was read to ask a store alone.
    """

    name: str
    path: Path
    corpus: config.Corpus
    nodes: Mapping[str, Node]
    experiments: Mapping[str, Experiment]
    cluster: Cluster
    max_failed_share: float
    lock: locks.Lock
    absent: tuple[str, ...] = ()

    @classmethod
    def load(cls, dag: str, overrides: Sequence[str] = ()) -> "Dag":
        """Reads and checks a DAG: a path or a shipped name. `overrides` as `--set`: `load`."""
        return load(dag, list(overrides))

    def node(self, name: str) -> Node:
        """The node called `name`; UserError with the nearest name."""
        if name not in self.nodes:
            raise UserError(f"there is no node '{name}'", str(self.path), nearest(name, self.nodes))
        return self.nodes[name]

    def upstream(self, name: str) -> list[Node]:
        """The node and everything that it needs, in topological order, the listing first."""
        wanted, pending = {"listing"}, [self.node(name).name]
        while pending:
            current = pending.pop()
            if current not in wanted:
                wanted.add(current)
                pending += self.nodes[current].inputs.values()
        return [node for node in self.nodes.values() if node.name in wanted]

    @property
    def absence(self) -> str:
        """What is to be said where models are `absent`."""
        models = f"the models of {', '.join(self.absent)} are not on this machine"
        return f"{models}: taken for those that the store was made with"

    @cached_property
    def computed(self) -> list[Node]:
        """The nodes that run as (node, part) tasks over `images`: all but the implicit ones."""
        return [node for node in self.nodes.values() if node.name not in _IMPLICIT]


@dataclass(frozen=True)
class Draft:
    """A checked DAG before any model is looked at: no fingerprint, and no model need be there.

    `nodes` maps names to (stage, inputs, parameters) in topological order, without the implicit
    nodes; the models that `lock` names are pinned in the parameters.
    """

    path: Path
    file: config.DagFile
    lock: locks.Lock
    nodes: Mapping[str, tuple[Stage, dict[str, str], Parameters]]

    def up_to(self, name: str | None) -> "Draft":
        """The draft with this node and all that it needs, no more; None: the whole."""
        if name is None:
            return self
        wanted = {name}
        for node in reversed(list(self.nodes)):  # after all that need it
            if node in wanted:
                wanted |= set(self.nodes[node][1].values())
        return replace(self, nodes={n: self.nodes[n] for n in self.nodes if n in wanted})


def read(dag: str, overrides: list[str] | None = None, new_lock: bool = False) -> Draft:
    """Reads and checks a DAG (a path or a shipped name) and its lock. Raises UserError.

    A lock that the DAG names must be there. With `new_lock` it need not, and pins nothing: this is
    for writing it.
    """
    path = config.find(dag)
    file = config.read(path, overrides)
    plugins = offered.use(file.plugins)
    with offered.visible(plugins):
        return _checked(path, file, plugins, new_lock)


def _checked(path: Path, file: config.DagFile, plugins: Sequence[Offer], new_lock: bool) -> Draft:
    where = str(path)
    lock = locks.read(locks.place(path, file.lock), expected=bool(file.lock) and not new_lock)
    wired = {name: _wire(name, raw, file.nodes, where) for name, raw in file.nodes.items()}
    outputs = {name: stage.output for name, (stage, _, _) in wired.items()}
    outputs |= {name: get_stage(name).output for name in _IMPLICIT}
    plugged = [offer.name for offer in plugins if offer.kind == "baseline"]
    file = file.model_copy(update={"experiments": _bound(file, outputs, plugged, where)})
    nodes = {}
    for name in _order(wired, where):
        stage, inputs, raw = wired[name]
        _check_inputs(name, stage, inputs, outputs, where)
        here = f"{where}: nodes.{name}"
        raw = raw if new_lock else locks.pinned(lock, raw)
        parameters = config.validate(
            stage.parameters, raw, path.resolve().parent, here, root=file.corpus.root
        )
        nodes[name] = (stage, inputs, parameters)
        _check_texts(nodes, name, here)
    return Draft(path, file, lock, nodes)


def load(
    dag: str, overrides: list[str] | None = None, recipes: elsewhere.Recipes | None = None
) -> Dag:
    """Reads, checks and fingerprints a DAG (a path or a shipped name). Raises UserError.

    `recipes`: a store's; models that are not here are then those that it has, where it has one set
    that fits. For what computes nothing of images.
    """
    return fingerprinted(read(dag, overrides), recipes)


def fingerprinted(draft: Draft, recipes: elsewhere.Recipes | None = None) -> Dag:
    """The DAG of a draft; UserError when a model that must be local is not there: see `load`."""
    file = draft.file
    nodes: dict[str, Node] = {}
    absent: list[str] = []
    for implicit in _IMPLICIT:
        stage = get_stage(implicit)
        # of the corpus nothing is in what is computed, but everything in the list of its files
        listed = {"root": portable(file.corpus.root), "limit": file.corpus.limit}
        place = listed if implicit == "listing" else {}
        parameters = _corpus_parameters(stage, file)
        recipe = {**_recipe(stage, {}, parameters, nodes, place), "models": []}
        nodes[implicit] = _node(implicit, stage, {}, parameters, recipe)
    for name, (stage, inputs, parameters) in draft.nodes.items():
        _check_one_space(inputs, nodes, f"{draft.path}: nodes.{name}")
        recipe = _recipe(stage, inputs, parameters, nodes)
        try:
            models = _identities(stage, parameters)
        except UserError as error:  # a model that is not there: say whose
            here = f"{draft.path}: nodes.{name}" + (f" ({error.where})" if error.where else "")
            known = recipes and elsewhere.identities(stage, parameters, recipe, recipes)
            if known is None:
                raise UserError(error.what, here, error.hint) from None
            models = known
            absent.append(name)
        nodes[name] = _node(name, stage, inputs, parameters, {**recipe, "models": models})
    return Dag(
        file.name,
        draft.path,
        file.corpus,
        nodes,
        file.experiments,
        file.cluster,
        file.max_failed_share,
        draft.lock,
        tuple(absent),
    )


def _bound(
    file: config.DagFile, outputs: Mapping[str, str], plugged: Sequence[str], where: str
) -> dict[str, Experiment]:
    """The experiments, of what the DAG's nodes make (`outputs`: node -> table), and plugins'
    baselines."""
    embedded = [node for node, table in outputs.items() if table == "image_embeddings"]
    found = {}
    for name, experiment in file.experiments.items():
        try:
            found[name] = experiment.on(outputs.values(), embedded, plugged)
        except ValueError as error:
            hint = "add nodes that make them, or name others in `features` and `baselines`"
            raise UserError(str(error), f"{where}: experiments.{name}", hint) from None
    return found


def _corpus_parameters(stage: Stage, file: config.DagFile) -> Parameters:
    known = {key: value for key, value in file.corpus if key in stage.parameters.model_fields}
    return stage.parameters(**known)


def _wire(
    name: str, raw: Any, nodes: Mapping[str, Any], where: str
) -> tuple[Stage, dict[str, str], dict[str, Any]]:
    """Splits a node's mapping into its stage, its inputs and its parameters."""
    key, named = f"{where}: nodes.{name}", _NAMED | {*offered.names("stage")}
    if name in _IMPLICIT:
        raise UserError(f"'{name}' is made from `corpus:`; a node needs another name", key)
    if not isinstance(raw, dict) or "stage" not in raw:
        stages = ", ".join(sorted(named))
        raise UserError("a node is a mapping with a `stage`", key, f"stages: {stages}")
    if str(raw["stage"]) not in named:
        hint = nearest(str(raw["stage"]), named)
        raise UserError(f"there is no stage '{raw['stage']}'", f"{key}.stage", hint)
    stage, raw = _of_table(raw, f"{key}.table")
    if name in _reserved() or (name in COLUMNS and name != stage.output):
        raise UserError(f"'{name}' is the name of another view", key, "give the node another name")
    inputs = {key_: raw[key_] for key_ in stage.inputs if key_ in raw}
    missing = [name for name in stage.inputs if name not in (*inputs, *stage.optional)]
    if missing:
        raise UserError(
            f"the stage '{stage.name}' needs the input{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)}",
            key,
            f"write e.g. `{missing[0]}: {missing[0]}` (the node that makes this table)",
        )
    for input_, source in inputs.items():
        if str(source) not in nodes and source not in _IMPLICIT:
            hint = nearest(str(source), [*nodes, "images"])
            raise UserError(f"the input '{source}' is no node", f"{key}.{input_}", hint)
    return stage, inputs, {k: v for k, v in raw.items() if k != "stage" and k not in inputs}


def _of_table(raw: Mapping[str, Any], key: str) -> tuple[Stage, Mapping[str, Any]]:
    """A node's stage, and its mapping without the `table` that tells which one it is."""
    if raw["stage"] not in BY_TABLE:
        return get_stage(raw["stage"]), raw
    table = str(raw.get("table", next(iter(BY_TABLE[raw["stage"]]))))
    try:
        name = for_table(raw["stage"], table)
    except UserError as error:
        raise UserError(error.what, key, error.hint) from None
    return get_stage(name), {k: v for k, v in raw.items() if k != "table"}


def _reserved() -> set[str]:
    """Names that SQL needs for its own relations: a node called so could not be asked about."""
    views = {path.stem for path in (folder("sql") / "views").glob("*.sql")}
    own = {"nodes", "asked_dag", "asked_images", "parts", "receipts", "failures"}
    return (views - set(COLUMNS)) | own


def _order(wired: Mapping[str, tuple[Stage, dict[str, str], Any]], where: str) -> list[str]:
    graph = {name: set(inputs.values()) for name, (_, inputs, _) in wired.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise UserError(f"the nodes form a cycle: {' -> '.join(error.args[1])}", where) from None
    return [name for name in order if name in wired]


def _check_inputs(
    name: str, stage: Stage, inputs: Mapping[str, str], outputs: Mapping[str, str], where: str
) -> None:
    for input_, source in inputs.items():
        made = outputs[source]
        if made != input_:
            right = [node for node, output in outputs.items() if output == input_]
            raise UserError(
                f"'{source}' makes the table {made}, but {stage.name} needs {input_} here",
                f"{where}: nodes.{name}.{input_}",
                f"nodes that make {input_}: {', '.join(right) or 'none'}",
            )


def _check_texts(
    nodes: Mapping[str, tuple[Stage, dict[str, str], Parameters]], name: str, here: str
) -> None:
    """Phrases are found among the texts that were embedded: known now, not after days."""
    _, inputs, parameters = nodes[name]
    if not {"objects", "text_embeddings"} <= inputs.keys():
        return
    source = inputs["text_embeddings"]
    _, given, embedded = nodes[source]
    if "objects" not in given:
        raise UserError(
            f"'{source}' embeds no phrases", here, f"give nodes.{source} the input `objects`"
        )
    made, sought = phrase_template(embedded), phrase_template(parameters)
    if made != sought:
        raise UserError(
            f"'{source}' embeds phrases as '{made}', and this node looks for '{sought}'",
            f"{here}.phrase_template",
            f"write the `phrase_template` of nodes.{source}",
        )


def _check_one_space(inputs: Mapping[str, str], nodes: Mapping[str, Node], here: str) -> None:
    """Embeddings that a node compares must come from one model: known now, not after days."""
    made = [nodes[source] for input_, source in inputs.items() if input_.endswith("_embeddings")]
    for other in made[1:]:
        if other.recipe["models"] != made[0].recipe["models"]:
            raise UserError(
                f"'{made[0].name}' and '{other.name}' come from different CLIPs: what is compared "
                "must lie in one space",
                here,
                "give both nodes the same `clip`",
            )


def _recipe(
    stage: Stage,
    inputs: Mapping[str, str],
    parameters: Parameters,
    nodes: Mapping[str, Node],
    place: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What decides a node's output, but its models; `place`: what decides the listing beside."""
    recipe = {
        "stage": stage.name,
        "version": stage.version,
        "parameters": {**output_parameters(parameters), **(place or {})},
        "inputs": {input_: nodes[source].fingerprint for input_, source in inputs.items()},
    }
    if source := source_of(stage, parameters):
        recipe["source"] = source
    return recipe


def _identities(stage: Stage, parameters: Parameters) -> list[dict[str, Any]]:
    return [spec.identity() for spec in stage.models(parameters)]


def _node(
    name: str,
    stage: Stage,
    inputs: dict[str, str],
    parameters: Parameters,
    recipe: Mapping[str, Any],
) -> Node:
    digest = sha256(dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    return Node(name, stage, inputs, parameters, digest, recipe)


def source_of(stage: Stage, parameters: Parameters) -> dict[str, str]:
    """The hash of the source of a plugin's stage, or of the plugin's layout of a listing."""
    layouts = {vars(parameters)["layout"]} if stage.name == "listing" else set()
    return {
        **offered.digests("stage", {stage.name} - {*MODULES}),
        **offered.digests("layout", layouts - {*LAYOUTS}),
    }
