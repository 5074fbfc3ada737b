"""The field's protocols: one key in the DAG file, plain experiments in the runs' folders.

| preset | trained on | tested on |
|---|---|---|
| progan_4 | ProGAN's car, cat, chair and horse | split 'test', all generators |
| progan_20 | all of ProGAN's training split | split 'test', all generators |
| sdv14_genimage | GenImage's Stable Diffusion 1.4 | splits 'test' and 'val', all generators |
| leave_one_out | a run a generator: all others | that generator |
| train_x_test | a run a generator: that one | all generators |
| figure4 | `train` | `test`, clean and in the nine variants of corpus.variants' preset figure4 |
| figure5 | `train` | `test`; global, local, and both |
| ablation | `train` | `test`; each representation with each pooling |

What the experiment itself says of `train` and `test` comes on top, joined by `and`; leave_one_out
and train_x_test take "split = 'train'" and "split = 'test'" where it says nothing. A generator is
what has fakes among the rows that `train` selects; sets of nothing but real images go with every
run, in training and in the test. There, unless `reals` says otherwise, a generator that has no real
images of its own is measured against those of such sets: UnivFD's `guided` against `imagenet`, its
other diffusion models against `laion`, and else against all of them. Wang et al. (CVPR 2020) train
on ProGAN's 20 classes, Ojha et al. (CVPR 2023) as well; the four are those of FatFormer (CVPR 2024)
and others; GenImage is Zhu et al. (NeurIPS 2023), tested on its 'val' folders.
"""

import re
from collections.abc import Collection
from hashlib import sha256
from typing import TYPE_CHECKING, Any, get_args

from pipeline.corpus.variants import PRESETS
from pipeline.dag.experiment import Experiment, Pooling, Representation
from pipeline.errors import UserError
from pipeline.head.rows.columns import made, query
from pipeline.head.rows.selection import experiment_rows
from pipeline.head.rows.variant_rows import variants_of
from pipeline.query.part_sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PROGAN = "generator = 'progan' and split = 'train'"
_SDV14 = "generator in ('sdv14', 'stable_diffusion_v_1_4') and split = 'train'"
# preset -> (train, test)
_FIXED = {
    "progan_4": (f"{_PROGAN} and class_name in ('car', 'cat', 'chair', 'horse')", "split = 'test'"),
    "progan_20": (_PROGAN, "split = 'test'"),
    "sdv14_genimage": (_SDV14, "split in ('test', 'val')"),
}


def expand(
    connection: "DuckDBPyConnection", experiment: Experiment, name: str
) -> dict[str, Experiment]:
    """The plain experiments that an experiment with a preset stands for, by name.

    One without a preset is itself. Sweeps stay. Raises UserError when `train` selects fewer than
    two generators for a preset that needs several, and for a wrong predicate.
    """
    preset = experiment.preset
    if preset is None:
        return {name: experiment}
    if preset == "figure4":
        _check_figure4(connection, f"experiments.{name}.preset")
        by = experiment.test_by if "variant" in experiment.test_by else ("variant",)
        return {name: _plain(experiment, test_by=by)}
    if preset == "figure5":
        return {name: _plain(experiment, features=("global", "local"))}
    if preset == "ablation":
        swept = {"representation": get_args(Representation), "pooling": get_args(Pooling)}
        return {name: _plain(experiment, sweep={**swept, **experiment.sweep})}
    if preset in _FIXED:
        train, test = _FIXED[preset]
        both = {"train": _and(train, experiment.train), "test": _and(test, experiment.test)}
        both["reals"] = experiment.reals or _reals(connection, experiment, both["test"], name)
        return {name: _plain(experiment, **both, allow_overlap=True)}
    return _of_each_generator(connection, experiment, name)


def _check_figure4(connection: "DuckDBPyConnection", key: str) -> None:
    there = variants_of(connection)
    if missing := [variant for variant in PRESETS["figure4"] if variant not in there]:
        raise UserError(
            f"figure4 needs nine variants of the test images, and there is no {', '.join(missing)}",
            key,
            "write `variants: {test: figure4}` below `corpus:` (or `all` for `test`), then "
            "`item run` again",
        )


def _of_each_generator(
    connection: "DuckDBPyConnection", experiment: Experiment, name: str
) -> dict[str, Experiment]:
    train = experiment.train or "split = 'train'"
    test = experiment.test or "split = 'test'"
    key = f"experiments.{name}.train"
    found = _generators(connection, experiment, train, key)
    with_fakes = [one for one, labels in found.items() if 1 in labels]
    reals = [one for one, labels in found.items() if 1 not in labels]
    if len(with_fakes) < 2:
        raise UserError(
            f"{experiment.preset} needs several generators, and these rows have fakes of "
            f"{', '.join(with_fakes) or 'none'}",
            f"experiments.{name}.train: {train}",
            "widen `train`",
        )
    out = {}
    for generator in with_fakes:
        only = f"generator in ({', '.join(literal(one) for one in (generator, *reals))})"
        others = f"generator <> {literal(generator)}"
        if experiment.preset == "leave_one_out":
            both = {"train": _and(train, others), "test": _and(test, only)}
        else:
            both = {"train": _and(train, only), "test": test, "allow_overlap": True}
        both["reals"] = experiment.reals or _reals(connection, experiment, both["test"], name)
        out[_run_name(f"{name}.{generator}", out)] = _plain(experiment, **both)
    return out


def _run_name(name: str, taken: Collection[str]) -> str:
    """A name for a run's folder: letters of any script stay, and two names never become one."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    there = plain.casefold() in {other.casefold() for other in taken}
    return f"{plain}-{sha256(name.encode()).hexdigest()[:6]}" if there else plain


def _generators(
    connection: "DuckDBPyConnection", experiment: Experiment, where: str, key: str
) -> dict[str, set[int]]:
    """The labels of each generator, by name, among the rows of a predicate."""
    sql = (
        f"{experiment_rows(experiment, made(connection))}"
        "select distinct generator, label from experiment_rows\n"
        f"where ({where}\n) and label is not null and generator is not null\n"
        "order by generator"
    )
    found: dict[str, set[int]] = {}
    for row in query(connection, sql, key, "a predicate is what follows `where`").to_pylist():
        found.setdefault(row["generator"], set()).add(row["label"])
    return found


def _reals(
    connection: "DuckDBPyConnection", experiment: Experiment, test: str, name: str
) -> dict[str, str] | None:
    """What test generators without real images are measured against: sets without fakes."""
    found = _generators(connection, experiment, test, f"experiments.{name}.test")
    alone = [one for one, labels in found.items() if labels == {1}]
    sets = [one for one, labels in found.items() if labels == {0}]
    if not sets:
        return None
    of_imagenet = [one for one in sets if one == "imagenet"]
    others = [one for one in sets if one != "imagenet"]
    out = {}
    for one in alone:
        own = (of_imagenet if one == "guided" else others) or sets
        among = f"generator in ({', '.join(map(literal, own))})"
        out[one] = _and(test, among)
    return out or None


def _plain(experiment: Experiment, **changes: Any) -> Experiment:
    return Experiment.model_validate({**experiment.model_dump(), "preset": None, **changes})


def _and(one: str, other: str | None) -> str:
    return one if other is None else f"({one}\n) and ({other}\n)"
