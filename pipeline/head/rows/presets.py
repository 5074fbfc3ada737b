"""The field's protocols: one key in the DAG file, plain experiments in the runs' folders.

| preset | trained on | tested on |
|---|---|---|
| progan_4 | ProGAN's car, cat, chair and horse | split 'test', all generators |
| progan_20 | all of ProGAN's training split | split 'test', all generators |
| sdv14_genimage | GenImage's Stable Diffusion 1.4 | splits 'test' and 'val', all generators |
| leave_one_out | a run a generator: all others | that generator |
| train_x_test | a run a generator: that one | all generators |
| temporal | a run a date of `until`: what was released by then | all; later ones are unseen |
| cross_dataset | a run an ordered pair of datasets: the one | the other |
| figure4 | `train` | `test`, clean and in the nine variants of corpus.variants' preset figure4 |
| figure5 | `train` | `test`; global, local, and both |
| ablation | `train` | `test`; each representation with each pooling |

What the experiment itself says of `train` and `test` comes on top, joined by `and`; the presets of
several runs take "split = 'train'" and "split = 'test'" where it says nothing. A generator is
what has fakes among the rows that `train` selects; sets of nothing but real images go with every
run, in training and in the test. There, unless `reals` says otherwise, a generator that has no real
images of its own is measured against those of such sets: UnivFD's `guided` against `imagenet`, its
other diffusion models against `laion`, and else against all of them. Wang et al. (CVPR 2020) train
on ProGAN's 20 classes, Ojha et al. (CVPR 2023) as well; the four are those of FatFormer (CVPR 2024)
and others; GenImage is Zhu et al. (NeurIPS 2023), tested on its 'val' folders. In time order is how
AI-GenBench (2025) tests.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
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
    two generators (or datasets) for a preset that needs several, for generators without a date and
    dates that part none of them, and for a wrong predicate.
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
    return _several(connection, experiment, name)


def _check_figure4(connection: "DuckDBPyConnection", key: str) -> None:
    there = variants_of(connection)
    if missing := [variant for variant in PRESETS["figure4"] if variant not in there]:
        raise UserError(
            f"figure4 needs nine variants of the test images, and there is no {', '.join(missing)}",
            key,
            "write `variants: {test: figure4}` below `corpus:` (or `all` for `test`), then "
            "`item run` again",
        )


def _several(
    connection: "DuckDBPyConnection", experiment: Experiment, name: str
) -> dict[str, Experiment]:
    """The runs of a preset that trains on several choices of the rows, by name."""
    split = {"train": experiment.train or "split = 'train'"}
    split["test"] = experiment.test or "split = 'test'"
    by = "dataset" if experiment.preset == "cross_dataset" else "generator"
    trained, tested = (
        _labels(connection, experiment, split[side], f"experiments.{name}.{side}", by)
        for side in ("train", "test")
    )
    with_fakes = [one for one, labels in trained.items() if 1 in labels]
    several = {*tested, *with_fakes} if by == "dataset" else with_fakes
    if len(several) < 2 or not with_fakes:
        raise UserError(
            f"{experiment.preset} needs several {by}s, and these rows have fakes of "
            f"{', '.join(with_fakes) or 'none'}",
            f"experiments.{name}.train: {split['train']}",
            "widen `train`",
        )
    reals = [one for one, labels in trained.items() if 1 not in labels]
    if experiment.preset == "cross_dataset":
        chosen = _of_each_dataset(trained, tested)
    elif experiment.preset == "temporal":
        released = _released(connection, experiment, with_fakes, name)
        chosen = _in_time(experiment, released, reals, name)
    else:
        chosen = _of_each_generator(experiment.preset, with_fakes, reals)
    out: dict[str, Experiment] = {}
    for run, (train, test) in chosen.items():
        both: dict[str, Any] = {"train": _and(split["train"], train)}
        both["test"] = _and(split["test"], test)
        both["reals"] = experiment.reals or _reals(connection, experiment, both["test"], name)
        overlap = experiment.preset != "leave_one_out"
        plain = _plain(experiment, **both, allow_overlap=overlap or experiment.allow_overlap)
        out[_run_name(f"{name}.{run}", out)] = plain
    return out


def _of_each_generator(
    preset: str, with_fakes: Sequence[str], reals: Sequence[str]
) -> dict[str, tuple[str, str | None]]:
    """Run -> what is trained and tested on, beside what the experiment says."""
    if preset == "train_x_test":
        return {one: (_among(one, *reals), None) for one in with_fakes}
    return {one: (f"generator <> {literal(one)}", _among(one, *reals)) for one in with_fakes}


def _released(
    connection: "DuckDBPyConnection", experiment: Experiment, with_fakes: Sequence[str], name: str
) -> dict[str, date]:
    """When each generator was: what the experiment says, else what the listing does."""
    key = f"experiments.{name}.released"
    rows = connection.execute(
        "select generator, min(released), max(released) from listing "
        "where label = 1 and released is not null group by generator order by generator"
    ).fetchall()
    listed = {one: (first, last) for one, first, last in rows if one not in experiment.released}
    for one in with_fakes:
        first, last = listed.get(one, ("", ""))
        if first != last:
            raise UserError(
                f"the corpus says that {one} was released on {first}, and on {last}",
                key,
                f"write `released: {{{one}: {first}}}`",
            )
    days = {one: date.fromisoformat(day) for one, (day, _) in listed.items()}
    days |= experiment.released
    if undated := [one for one in with_fakes if one not in days]:
        raise UserError(
            f"when were these released: {', '.join(undated)}?",
            key,
            f"write `released: {{{undated[0]}: 2022-08-22}}`, give the corpus a column `released`, "
            "or leave them out in `train`",
        )
    return {one: days[one] for one in with_fakes}


def _in_time(
    experiment: Experiment, released: Mapping[str, date], reals: Sequence[str], name: str
) -> dict[str, tuple[str, str | None]]:
    """The same, a run a date: trained on the generators that were released by then."""
    key = f"experiments.{name}"
    out = {}
    for until in experiment.until:
        known = [one for one, day in released.items() if day <= until]
        if len(known) in (0, len(released)):
            in_order = sorted(released, key=released.__getitem__)
            days = ", ".join(f"{one} {released[one]}" for one in in_order)
            what = "none" if not known else "all"
            raise UserError(
                f"{what} of the generators were released by {until}: {days}",
                f"{key}.until",
                "give a date between the first and the last of them",
            )
        out[f"until_{until}"] = (_among(*known, *reals), None)
    return out


def _of_each_dataset(
    trained: Mapping[str, set[int]], tested: Collection[str]
) -> dict[str, tuple[str, str | None]]:
    """The same, a run a dataset that has reals and fakes to train on, and another one."""
    return {
        f"{one}_on_{other}": (f"dataset = {literal(one)}", f"dataset = {literal(other)}")
        for one, labels in trained.items()
        for other in tested
        if labels == {0, 1} and other != one
    }


def _among(*generators: str) -> str:
    return f"generator in ({', '.join(map(literal, generators))})"


def _run_name(name: str, taken: Collection[str]) -> str:
    """A name for a run's folder: letters of any script stay, and two names never become one."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    there = plain.casefold() in {other.casefold() for other in taken}
    return f"{plain}-{sha256(name.encode()).hexdigest()[:6]}" if there else plain


def _labels(
    connection: "DuckDBPyConnection", experiment: Experiment, where: str, key: str, by: str
) -> dict[str, set[int]]:
    """The labels of each generator (or dataset), by name, among the rows of a predicate."""
    sql = (
        f"{experiment_rows(experiment, made(connection))}"
        f"select distinct {by} as name, label from experiment_rows\n"
        f"where ({where}\n) and label is not null and {by} is not null\n"
        "order by name"
    )
    found: dict[str, set[int]] = {}
    for row in query(connection, sql, key, "a predicate is what follows `where`").to_pylist():
        found.setdefault(row["name"], set()).add(row["label"])
    return found


def _reals(
    connection: "DuckDBPyConnection", experiment: Experiment, test: str, name: str
) -> dict[str, str] | None:
    """What test generators without real images are measured against: sets without fakes."""
    key = f"experiments.{name}.test"
    found = _labels(connection, experiment, test, key, "generator")
    alone = [one for one, labels in found.items() if labels == {1}]
    sets = [one for one, labels in found.items() if labels == {0}]
    if not sets:
        return None
    of_imagenet = [one for one in sets if one == "imagenet"]
    others = [one for one in sets if one != "imagenet"]
    out = {}
    for one in alone:
        own = (of_imagenet if one == "guided" else others) or sets
        out[one] = _and(test, _among(*own))
    return out or None


def _plain(experiment: Experiment, **changes: Any) -> Experiment:
    plain = {"preset": None, "released": {}, "until": ()}
    return Experiment.model_validate({**experiment.model_dump(), **plain, **changes})


def _and(one: str, other: str | None) -> str:
    return one if other is None else f"({one}\n) and ({other}\n)"
