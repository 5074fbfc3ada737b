"""Test probabilities in, tables out: predictions row by row, metrics by generator, differences.

Where images are tested in several variants, all of it in each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import CLEAN, order
from pipeline.head.figures import bootstrap
from pipeline.head.figures.bootstrap import OneGenerator
from pipeline.head.figures.choose import Choice
from pipeline.head.figures.metrics import CHOSEN, NAMES, chosen_metrics, metrics
from pipeline.head.figures.populations import populations

COUNTS = ("n", "num_real", "num_fake")
COMPARED = ("ap", "accuracy")  # with clean images
LESS_CLEAN = tuple(f"{name}_less_clean" for name in COMPARED)
CHOICES = tuple(field.name for field in fields(Choice))
PREDICTIONS = pa.schema(
    {
        "method": pa.string(),
        "image_id": pa.string(),
        "variant": pa.string(),
        "generator": pa.string(),
        "split": pa.string(),
        "label": pa.int8(),
        "probability": pa.float64(),  # of fake
    }
)
METRICS = pa.schema(
    {
        "method": pa.string(),
        "variant": pa.string(),  # of the tested images
        "scope": pa.string(),  # 'generator', or 'mean': over the unseen generators
        "generator": pa.string(),  # null in a mean
        "generators": pa.int64(),  # how many: 1, or those of the mean
        "seen": pa.bool_(),  # whether fakes of this generator were trained on
        **dict.fromkeys(NAMES, pa.float64()),  # null where a group lacks reals or fakes
        # the 95 % intervals; null without bootstrap
        **{f"{name}_{end}": pa.float64() for name in bootstrap.NAMES for end in ("low", "high")},
        # chosen on validation images, and what came of it; null where nothing was chosen
        **dict.fromkeys((*CHOICES, *CHOSEN), pa.float64()),
        # how much it changes from clean to this variant; null of clean, and where that is not there
        **{f"{name}{end}": pa.float64() for name in LESS_CLEAN for end in ("", "_low", "_high")},
        **dict.fromkeys(COUNTS, pa.int64()),
    }
)
DIFFERENCES = pa.schema(
    {
        "method": pa.string(),
        "compare_to": pa.string(),
        **{name: METRICS.field(name).type for name in ("variant", "scope", "generator")},
        **{name: METRICS.field(name).type for name in ("generators", "seen")},
        "metric": pa.string(),  # one of `bootstrap.NAMES`
        "difference": pa.float64(),  # of the method's figure from that of `compare_to`
        "low": pa.float64(),  # the 95 % interval; null without bootstrap
        "high": pa.float64(),
        "p": pa.float64(),  # two-sided, of this comparison alone
    }
)


def predictions(test: pa.Table, probabilities: Mapping[str, np.ndarray]) -> pa.Table:
    """A row a method and test row. `probabilities`: method -> float64 [n], in `test`'s order."""
    keys = test.select(["image_id", "variant", "generator", "split", "label"])
    tables = [
        keys.append_column("method", pa.array([method] * len(keys), pa.string()))
        .append_column("probability", pa.array(values, pa.float64()))
        .select(PREDICTIONS.names)
        for method, values in probabilities.items()
    ]
    return pa.concat_tables(tables).cast(PREDICTIONS)


@dataclass(frozen=True)
class _Figures:
    """One row's metrics and counts, and the resampled values behind its intervals."""

    values: Mapping[str, float | int | None]
    samples: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Cell:
    """What the rows of all methods have in common that are of the same test images."""

    key: Mapping[str, str | int | bool | None]  # the columns that say which images
    figures: Mapping[str, _Figures]  # method -> its figures
    clean: Mapping[str, _Figures] | None  # of these images unperturbed, if this is a variant


def measure(
    test: pa.Table,
    probabilities: Mapping[str, np.ndarray],
    trained_on: set[str | None],
    compare_to: Sequence[str] = (),
    resamples: int = 0,
    seed: int = 0,
    choices: Mapping[str, Choice] | None = None,
) -> tuple[pa.Table, pa.Table]:
    """METRICS, of each method and variant a row a test generator and their mean; DIFFERENCES.

    `test` has image_id, variant, label and generator; `probabilities`: method -> float64 [n], in
    its order. Generators that were `trained_on` come first. The mean is macro, over the generators
    that were not trained on and that have both reals and fakes (an accuracy on reals and one on
    fakes have no mean); there may be none. Intervals come from `resamples` bootstrap resamples (0:
    none) of images: one that several generators have is drawn once for all of them, and the mean's
    interval is that of the resamples' means. Differences are from each method of `compare_to`, and
    from clean images, on the same resamples: the rows of all variants must be alike. `choices`:
    method -> what was chosen on its validation images.
    """
    cells = _cells(test, probabilities, trained_on, resamples, seed, choices or {})
    lines = [
        {"method": method, **cell.key, **_line(cell, method)}
        for method in probabilities
        for cell in cells
    ]
    differences = [
        {"method": method, "compare_to": other, **cell.key, "metric": metric, **found}
        for other in compare_to
        for method in probabilities
        for cell in cells
        for metric in bootstrap.NAMES
        if method != other
        and (found := _difference(metric, cell.figures[method], cell.figures[other]))
    ]
    return (
        pa.Table.from_pylist(lines, METRICS),
        pa.Table.from_pylist(differences, DIFFERENCES),
    )


def _cells(
    test: pa.Table,
    probabilities: Mapping[str, np.ndarray],
    trained_on: set[str | None],
    resamples: int,
    seed: int,
    choices: Mapping[str, Choice],
) -> list[_Cell]:
    """In each variant that of each generator, and then their mean."""
    label = test["label"].to_numpy()
    stacked = np.stack(list(probabilities.values()))
    chosen = [choices.get(method) for method in probabilities]
    cells: list[_Cell] = []
    for variant in order(pc.unique(test["variant"]).to_pylist()):
        here = np.flatnonzero(pc.equal(test["variant"], variant).to_numpy())
        rows_of = _groups(test["generator"].take(here), trained_on)
        ids = test["image_id"].take(here).combine_chunks().dictionary_encode().indices.to_numpy()
        drawn_from = populations(ids, label[here], rows_of, seed)  # alike in every variant
        groups = {}
        tested = [
            OneGenerator(label[here[own]], stacked[:, here[own]], drawn_from[name])
            for name, own in rows_of.items()
        ]
        samples = bootstrap.resample(tested, resamples) if resamples else [{}] * len(tested)
        for generator, one, drawn in zip(rows_of, tested, samples, strict=True):
            groups[generator] = dict(zip(probabilities, _figures(one, chosen, drawn), strict=True))
            key = {"scope": "generator", "generator": generator, "generators": 1}
            key["seen"] = generator in trained_on
            cells.append(_Cell({"variant": variant, **key}, groups[generator], None))
        unseen = [
            group for name, group in groups.items() if name not in trained_on and _has_both(group)
        ]
        if unseen:
            key = {"scope": "mean", "generators": len(unseen), "seen": False}
            mean = {m: _average([group[m] for group in unseen]) for m in probabilities}
            cells.append(_Cell({"variant": variant, "generator": None, **key}, mean, None))
    clean = {_images(cell): cell.figures for cell in cells if cell.key["variant"] == CLEAN}
    return [
        replace(cell, clean=None if cell.key["variant"] == CLEAN else clean.get(_images(cell)))
        for cell in cells
    ]


def _images(cell: _Cell) -> tuple[str | None, ...]:
    """Which images a cell is of, in whatever variant."""
    return cell.key["scope"], cell.key["generator"]


def _groups(
    generators: pa.ChunkedArray, trained_on: set[str | None]
) -> dict[str | None, np.ndarray]:
    """The rows of each generator: `trained_on` first, then the others by name."""
    encoded = generators.combine_chunks().dictionary_encode(null_encoding="encode")
    codes, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    rows = {name: np.flatnonzero(codes == code) for code, name in enumerate(names)}
    order = sorted(names, key=lambda name: (name not in trained_on, name or ""))
    return {name: rows[name] for name in order}


def _figures(
    tested: OneGenerator, choices: list[Choice | None], samples: Mapping[str, np.ndarray]
) -> list[_Figures]:
    """Of one generator, a method each."""
    out = []
    for m, (p, choice) in enumerate(zip(tested.probabilities, choices, strict=True)):
        values = metrics(tested.label, p)
        if choice:
            values |= {**asdict(choice), **chosen_metrics(tested.label, p, choice)}
        own = {name: drawn[m] for name, drawn in samples.items()}
        if "ap" in own and values["ap"] is not None:
            own["ap"] = bootstrap.centred(own["ap"], values["ap"])
        out.append(_Figures(values, own))
    return out


def _has_both(group: Mapping[str, _Figures]) -> bool:
    """Whether a generator has real and fake test images."""
    return all(one.values["num_real"] and one.values["num_fake"] for one in group.values())


def _average(parts: list[_Figures]) -> _Figures:
    """The mean of each metric over the parts that have it, resample by resample; summed counts.

    Without sure verdicts a part has no share of them that is right; all else all of them have.
    """
    values: dict[str, float | int | None] = {
        name: _mean(part.values.get(name) for part in parts) for name in (*NAMES, *CHOSEN)
    }
    # what was chosen is the same for all generators
    values.update({name: parts[0].values.get(name) for name in CHOICES if parts})
    values.update({name: sum(part.values[name] for part in parts) for name in COUNTS})
    names = bootstrap.NAMES if parts[0].samples else ()
    samples = {name: np.mean([part.samples[name] for part in parts], axis=0) for name in names}
    return _Figures(values, samples)


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _line(cell: _Cell, method: str) -> dict[str, float | int | None]:
    """The metrics of a row of METRICS."""
    own = cell.figures[method]
    line: dict[str, float | int | None] = dict(own.values)
    for name, samples in own.samples.items():
        if own.values[name] is not None:
            line[f"{name}_low"], line[f"{name}_high"] = bootstrap.interval(samples)
    if cell.clean is not None:
        for name, column in zip(COMPARED, LESS_CLEAN, strict=True):
            found = _difference(name, own, cell.clean[method])
            ends = {f"{column}_{end}": found[end] for end in ("low", "high") if end in found}
            line |= {column: found.get("difference"), **ends}
    return line


def _difference(name: str, own: _Figures, other: _Figures) -> dict[str, float]:
    """How much the figure `name` is above another one's, as in DIFFERENCES; empty without one."""
    if own.values[name] is None or other.values[name] is None:
        return {}
    found = {"difference": own.values[name] - other.values[name]}
    if name in own.samples and name in other.samples:
        drawn = own.samples[name] - other.samples[name]
        found["low"], found["high"] = bootstrap.interval(drawn)
        found["p"] = bootstrap.p_value(drawn)
    return found


def split(measured: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows by generator, and the means, of a table of METRICS."""
    mean = pc.equal(measured["scope"], "mean")
    return measured.filter(pc.invert(mean)), measured.filter(mean)
