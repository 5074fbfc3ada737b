"""A trained run as it lies in a store: which one is meant, what it was made from, its heads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import baseline
from pipeline.errors import UserError, nearest
from pipeline.head.figures.choose import Choice
from pipeline.store.run_folders import EXPERIMENT, METRICS

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.head.methods.mlp import Head
    from pipeline.store.parts import Store

_AGAIN = "train it again: `item train DAG`"
_CHOICE = tuple(field.name for field in fields(Choice))
_WITHOUT = {
    "k-NN": "it looks among the training images' own vectors, which lie in the store",
    "metadata": "it judges the file (its size, shape and format) and not the picture",
}


@dataclass(frozen=True)
class Trained:
    """A run: its experiment's `name` and configuration, the DAG by whose `dag` name it was trained.

    `made_from`: node -> fingerprint. `plugins`: the hash of the source of each that its methods are
    of (`pipeline.head.run.plugins`). `choices`: method -> what its validation images decided.
    `folder`: where its heads lie.
    """

    name: str
    run_id: str
    dag: str
    experiment: Experiment
    made_from: Mapping[str, str]
    plugins: Mapping[str, str]
    choices: Mapping[str, Choice]
    folder: Path

    def method(self, asked: str | None = None) -> str:
        """The method that judges: the one asked for, else the best head on validation images.

        Baselines are taken only when they are asked for. UserError for one that the run does not
        have, or that is no more than its weights.
        """
        if asked is None:
            heads = [name for name in self.experiment.heads if name in self.choices]
            if not heads:
                raise UserError("the run has no head", str(self.folder), _AGAIN)
            # of equals the last, on all features
            return max(reversed(heads), key=lambda name: self.choices[name].validation_ap)
        if asked not in self.choices:
            hint = nearest(asked, self.choices)
            raise UserError(f"the run has no method '{asked}'", "--method", hint)
        why = _WITHOUT.get(asked)
        if asked in self.experiment.baselines and baseline(asked):
            why = "what a plugin has fitted is not kept"
        if why:
            others = ", ".join(name for name in self.choices if name not in (*_WITHOUT, asked))
            raise UserError(f"'{asked}' cannot judge new images: {why}", "--method", others)
        return asked

    def head(self, method: str) -> "Head":
        """The weights of a method; UserError where its file is missing, damaged or another's."""
        from pipeline.head.methods.mlp import load_head, stem_of

        head, about = load_head(self.folder, stem_of(self.experiment, method))
        if about.get("method") != method or list(about["input"]) != list(
            self.experiment.reads[method]
        ):
            raise UserError(f"the head is not that of '{method}'", str(self.folder), _AGAIN)
        return head

    def plain(self) -> dict[str, Any]:
        """All but the folder, as JSON has it: see `from_plain`."""
        return {
            "experiment": self.name,
            "run_id": self.run_id,
            "dag": self.dag,
            "config": self.experiment.model_dump(mode="json"),
            "made_from": dict(self.made_from),
            "plugins": dict(self.plugins),
            "choices": {method: asdict(choice) for method, choice in self.choices.items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], folder: Path) -> "Trained":
        """What `plain` gave. ValueError, KeyError or TypeError for anything else."""
        experiment = Experiment.model_validate(plain["config"])
        choices = {
            method: Choice(**{name: _number(one[name]) for name in _CHOICE})
            for method, one in plain["choices"].items()
            if method in experiment.methods
        }
        texts = [plain[name] for name in ("experiment", "run_id", "dag")]
        made_from, plugins = plain["made_from"], plain.get("plugins", {})
        texts += [text for pair in (*made_from.items(), *plugins.items()) for text in pair]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("names and fingerprints are texts")
        return cls(*texts[:3], experiment, dict(made_from), dict(plugins), choices, folder)


def _number(value: Any) -> float | None:
    """A probability or a temperature; ValueError for what is neither."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"{value!r} is no probability or temperature")
    return float(value)


def read(folder: Path) -> Trained:
    """The run that lies in a folder; UserError where there is none, or a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = json.loads((folder / EXPERIMENT).read_text(encoding="utf-8"))
        columns = ["method", *_CHOICE]
        rows = pq.read_table(folder / METRICS, columns=columns, partitioning=None).to_pylist()
        choices = {row["method"]: row for row in reversed(rows) if row["threshold"] is not None}
        plain = {**about, "made_from": about["fingerprints"]}
        plain["choices"] = dict(reversed(choices.items()))
        return Trained.from_plain(plain, folder)
    except FileNotFoundError:
        hint = "give a run's id, an experiment's name, or a run's folder as `item train` prints it"
        raise UserError("there is no trained run here", str(folder), hint) from None
    except (OSError, ValidationError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"the run cannot be read: {first}", str(folder), _AGAIN) from None


def chosen(run: str, graph: "Dag", store: "Store") -> Trained:
    """The run that is meant by its folder, its id, its experiment, or the beginning of either.

    Of an experiment it is the newest run of this DAG; one on nodes as they are now, and of those
    one of the configuration that the file asks for, comes before newer ones of others. UserError
    where none is meant, or several.
    """
    if "/" in run and (Path(run) / EXPERIMENT).is_file():
        return read(Path(run))
    folders = store.runs()
    experiments = {one.parent.name for one in folders}
    ids = {f"{one.parent.name}/{one.name}": one for one in folders}
    for alike in (str.__eq__, str.startswith) if run else ():
        meant = {name for name in experiments if alike(name, run)}
        meant |= {
            name
            for name, one in ids.items()
            if alike(one.name, run) or ("/" in run and alike(name, run))
        }
        if len(meant) > 1:
            shown = ", ".join(sorted(meant)[:6])
            raise UserError(f"'{run}' may mean several runs", shown, "write more of one")
        for name in meant:
            own = [one for one in folders if one.parent.name == name]
            return read(ids[name]) if name in ids else _newest(own, graph, name)
    raise _no_run(run, graph, folders, store)


def _newest(folders: Sequence[Path], graph: "Dag", run: str) -> Trained:
    if len(folders) == 1:
        return read(folders[0])
    newest = sorted(folders, key=lambda one: (one / METRICS).stat().st_mtime, reverse=True)
    own = [found for found in map(read, newest) if found.dag == graph.name]
    if not own:
        hint = "name the DAG that they were trained by, or one run by its id"
        raise UserError(f"the runs of '{run}' are of other DAGs than {graph.name}", run, hint)
    now = {name: node.fingerprint for name, node in graph.nodes.items() if name != "listing"}
    current = [one for one in own if now.items() <= one.made_from.items()] or own[:1]
    asked = graph.experiments[run].expand() if run in graph.experiments else []
    wanted = [(one.configuration, one.seed) for one in asked]
    as_it_says = (
        one for one in current if (one.experiment.configuration, one.experiment.seed) in wanted
    )
    return next(as_it_says, current[0])


def _no_run(run: str, graph: "Dag", folders: Sequence[Path], store: "Store") -> UserError:
    if not folders:
        hint = "train one with `item run DAG` or `item train DAG`, or give its --store"
        if not graph.experiments:
            hint = f"{graph.path} has no `experiments:` that train one: dags/demo.yaml has some"
        return UserError("the store has no trained run", str(store.root), hint)
    names = {one.parent.name for one in folders} | {one.name for one in folders}
    close = nearest(run, names)
    if close.startswith("known"):
        close = f"experiments: {', '.join(sorted({one.parent.name for one in folders}))}"
    return UserError(f"there is no run '{run}'", str(store.runs_folder), close)
