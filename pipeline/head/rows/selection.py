"""The rows of an experiment: SQL says which images are trained, validated and tested on.

Reads the views `listing`, `images` for variants, and those of what the experiment's methods read.
An image is on one side only, whatever its variants, and the sides' generators are what the
experiment says they may be.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corpus.variants import CLEAN
from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError, many
from pipeline.head.rows import shared_reals
from pipeline.head.rows.absent_rows import lacking, misspelt
from pipeline.head.rows.columns import COLUMNS, made, query
from pipeline.head.rows.computed import Computed
from pipeline.head.rows.side import Rows
from pipeline.head.rows.variant_rows import check_variant, contents, in_every_variant, in_variant
from pipeline.query.part_sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WORDS = {"train": "training", "validation": "validation", "test": "test"}  # in messages
ADVICE = "a predicate is what follows `where`: \"generator = 'gan' and split = 'train'\""


def experiment_rows(experiment: Experiment, made: Collection[str]) -> str:
    """A `with` clause for the relation `experiment_rows`: a row a listed file.

    `made`: the tables that the DAG's nodes make. Its columns are those of `COLUMNS` that these
    have, image_id being the clean image's; those of `features` are the variant's. `state` is what
    can be done with the row: ok, failed, unlabelled, missing (not computed yet), or absent (there
    is no such variant of this image).
    """
    key, images, absent = "listing.image_id", "", ""
    if experiment.variant != CLEAN:
        key = f"(listing.image_id || {literal(f'-{experiment.variant}')})"
        images = f"left join images on images.image_id = {key}"
        absent = "when images.image_id is null then 'absent'"
    computed = Computed.of(experiment, made)
    joins = [computed.joins(key), images]
    columns = {column: view for column, view in COLUMNS.items() if view in ("listing", *made)}
    if "features" in made and "features" not in computed.tables:  # for a predicate
        joins.append(f"left join features on features.image_id = {key}")
    return f"""
with experiment_rows as (
    select
        {", ".join(f"{view}.{column}" for column, view in columns.items())},
        case
            when coalesce(listing.error, {computed.error}) is not null then 'failed'
            when listing.label is null then 'unlabelled'
            {absent}
            when {computed.missing} then 'missing'
            else 'ok'
        end as state
    from listing
    {" ".join(joins)}
)
"""


@dataclass(frozen=True)
class Selection:
    """The three sides of an experiment. No image is in two of them."""

    train: Rows  # an image once
    validation: Rows  # an image once; of the training rows' generators
    test: Rows  # an image once a generator and tested variant

    @property
    def sides(self) -> dict[str, Rows]:
        """The sides by name, in the order of their rows in every matrix."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def known(self) -> set[str | None]:
        """The generators whose fakes were trained on, or decided what was chosen."""
        return self.train.faked_by | self.validation.faked_by

    @property
    def overlap(self) -> list[str | None]:
        """The generators whose fakes are tested and were trained on too, by name."""
        return sorted(self.test.faked_by & self.known, key=lambda name: name or "")


def select(connection: "DuckDBPyConnection", experiment: Experiment, name: str) -> Selection:
    """The training, validation and test rows of an experiment.

    Without a `validation` predicate a share of the training rows is set aside (`set_aside`).
    Unlabelled and failed rows are left out and counted in the notes, and so are rows without the
    experiment's variant, and with `partial` rows that are not computed yet. Raises UserError for a
    wrong predicate, one that selects nothing, training or validation rows of one class, images that
    have no features yet, a variant that is not there, an image with two labels, an image on two
    sides, a validation generator that is not trained on, and, unless the experiment says
    `allow_overlap`, a test generator that is.
    """
    key = f"experiments.{name}"
    sides = read_sides(connection, experiment, name)
    if "variant" in experiment.test_by:
        test = sides["test"]
        table, notes = in_every_variant(connection, test.table, f"{key}.test_by", experiment)
        sides["test"] = replace(test, table=table, notes=(*test.notes, *notes))
    if not experiment.validation:
        sides["train"], sides["validation"] = set_aside(
            sides["train"], experiment.validation_share, experiment.seed, f"{key}.train"
        )
    selection = Selection(**sides)
    _check_generators(selection, experiment, key)
    return selection


def read_sides(
    connection: "DuckDBPyConnection",
    experiment: Experiment,
    name: str,
    wanted: Collection[str] = tuple(_WORDS),
) -> dict[str, Rows]:
    """The `wanted` sides as their predicates select them, checked, and against each other.

    `test` without a predicate is what the others leave. Raises the UserErrors of `select` that
    concern one predicate, or the images of two.
    """
    key = f"experiments.{name}"
    predicates = {"train": experiment.train}
    if experiment.validation:
        predicates["validation"] = experiment.validation
    where = {side: f"({predicate}\n)" for side, predicate in predicates.items()}
    rows_of = experiment_rows(experiment, made(connection))
    if experiment.variant != CLEAN:
        check_variant(connection, experiment.variant, f"{key}.variant")

    def read(side: str, where: str, unique: str) -> Rows:
        return _side(connection, rows_of, where, unique, experiment, f"{key}.{side}")

    sides = {side: read(side, where[side], "image_id") for side in where if side in wanted}
    for side, rows in sides.items():
        _check_classes(rows, _WORDS[side], f"{key}.{side}: {predicates[side]}")
    if "test" in wanted:
        rest = " and ".join(
            f"(image_id in (select image_id from experiment_rows where {taken})) is not true"
            for taken in where.values()
        )
        test_where = f"({experiment.test}\n)" if experiment.test else rest
        sides["test"] = read("test", test_where, "image_id, generator")
        if experiment.reals:
            sides["test"] = shared_reals.measured_against(
                sides["test"], experiment.reals, read, key
            )
    _check_images(sides, key)
    return sides


def _side(
    connection: "DuckDBPyConnection",
    rows_of: str,
    where: str,
    unique: str,
    experiment: Experiment,
    key: str,
) -> Rows:
    sql = (
        f"{rows_of}select image_id, label, generator, split, state\n"
        f"from experiment_rows where\n{where}\norder by image_id, generator, label, split, uri"
    )
    rows = query(connection, sql, key, ADVICE)
    counts = sorted(rows["state"].value_counts().to_pylist(), key=itemgetter("values"))
    states = {one["values"]: one["counts"] for one in counts}
    missing = states.get("missing", 0)
    if missing and not (experiment.partial and "ok" in states):
        lost = in_variant(rows.filter(pc.equal(rows["state"], "missing")), experiment.variant)
        where_lost = lacking(connection, lost["image_id"])
        raise UserError(
            f"{missing:,} of {rows.num_rows:,} selected images are not computed yet: rows missing "
            f"in {where_lost}",
            key,
            "compute them with `item run DAG`"
            + (", or go on without them: `item train DAG --partial`" if "ok" in states else ""),
        )
    ok = rows.filter(pc.equal(rows["state"], "ok")).drop_columns("state")
    if not ok.num_rows:
        said = {"absent": f"not in {experiment.variant}"}
        found = ", ".join(f"{n:,} {said.get(state, state)}" for state, n in states.items())
        if list(states) == ["absent"]:  # the predicate is right, the variant was not asked for
            why = f"let `corpus.variants` make {experiment.variant} of the images it selects; "
        else:
            why = misspelt(connection, where)
        raise UserError(
            f"the predicate selects no usable image ({found or 'no row'})",
            key,
            f"{why}"
            '`item query DAG "select split, generator, label, count(*) from listing group by all"`'
            " shows what there is",
        )
    kept = _once(ok, unique.split(", "), key)
    words = {"failed": "failed rows", "unlabelled": "unlabelled rows"}
    words |= {"absent": f"rows that are not there in {experiment.variant}"}
    notes = [f"{states[s]:,} {word} left out" for s, word in words.items() if s in states]
    if missing:
        there = rows.num_rows - missing
        notes.insert(0, f"partial: {there:,} of {rows.num_rows:,} images are computed")
    if ok.num_rows > kept.num_rows:
        notes.append(f"{ok.num_rows - kept.num_rows:,} repeated files of the same images left out")
    return Rows(in_variant(kept, experiment.variant), sql, tuple(notes))


def _once(rows: pa.Table, unique: list[str], key: str) -> pa.Table:
    """The first row of each `unique` of sorted rows; UserError when an image has two labels."""
    labels = rows.group_by("image_id").aggregate([("label", "min"), ("label", "max")])
    torn = labels.filter(pc.not_equal(labels["label_min"], labels["label_max"]))["image_id"]
    if len(torn):
        raise UserError(
            f"{many(len(torn), 'image')} labelled both real and fake, such as {_some(torn)}",
            key,
            "the same bytes lie in a real and in a fake folder: mend the corpus, or exclude them",
        )
    first = np.ones(rows.num_rows, bool)
    if rows.num_rows > 1:
        same = [_equal_to_previous(rows[column]) for column in unique]
        first[1:] = ~np.logical_and.reduce(same)
    return rows.filter(pa.array(first)).combine_chunks()


def _equal_to_previous(column: pa.ChunkedArray) -> np.ndarray:
    codes = pc.fill_null(column.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    return codes[1:] == codes[:-1]


def set_aside(rows: Rows, share: float, seed: int, key: str = "train") -> tuple[Rows, Rows]:
    """Training rows, and the `share` of them that becomes validation rows.

    Stratified: of each label of each generator, the nearest number to the share, at least one and
    not all; a lone row stays in training. Which ones: those whose SHA-256 of seed and image_id is
    the least, so that neither the order of the rows nor other generators matter. Raises UserError
    when the share has no real or no fake image.
    """
    ids = contents(rows.table).to_pylist()  # an image is set aside in each of its variants
    digests = [sha256(f"{seed} {image_id}".encode()).digest() for image_id in ids]
    strata: dict[tuple[int, str | None], list[int]] = {}
    columns = (rows.table["label"].to_pylist(), rows.table["generator"].to_pylist())
    for row, stratum in enumerate(zip(*columns, strict=True)):
        strata.setdefault(stratum, []).append(row)
    chosen = np.zeros(rows.table.num_rows, bool)
    for members in strata.values():
        count = min(max(1, round(share * len(members))), len(members) - 1)
        chosen[sorted(members, key=digests.__getitem__)[:count]] = True
    if len(set(rows.label[chosen].tolist())) < 2:
        raise UserError(
            f"{rows.table.num_rows:,} training images are too few to set some aside for validation",
            key,
            "widen `train`, or give `validation` a predicate that selects real and fake images",
        )
    what = (
        f"{share:g} of the training rows of each label of each generator: "
        f"those of the least sha256('{seed} ' + image_id)"
    )
    kept = replace(rows, table=rows.table.filter(pa.array(~chosen)))
    return kept, Rows(rows.table.filter(pa.array(chosen)), what, ())


def _check_classes(rows: Rows, side: str, where: str) -> None:
    classes = set(rows.label.tolist())
    if len(classes) < 2:
        only = "fake (label 1)" if 1 in classes else "real (label 0)"
        raise UserError(
            f"all {rows.table.num_rows:,} {side} rows are {only}: a head needs both",
            where,
            "widen the predicate so that it selects real and fake images",
        )


def _check_images(sides: dict[str, Rows], key: str) -> None:
    """No image may be on two sides, under whatever generator and variant it is there."""
    for one, other in combinations(sides, 2):
        ids = contents(sides[other].table)
        both = pc.unique(ids.filter(pc.is_in(ids, value_set=contents(sides[one].table))))
        if len(both):
            advice = "say `split = …` in both predicates"
            if other == "test":
                advice += ", or leave `test` out to test on all other images"
            raise UserError(
                f"{many(len(both), 'image')} in both {_WORDS[one]} and {_WORDS[other]}, "
                f"such as {_some(both)}",
                key,
                advice,
            )


def _check_generators(selection: Selection, experiment: Experiment, key: str) -> None:
    """What is chosen on validation must not know a generator that training does not know."""
    if strange := selection.validation.generators - selection.train.generators:
        raise UserError(
            f"validation has images of generators that training has not: {names(strange)}",
            f"{key}.validation: {experiment.validation}",
            "validation comes from training generators only: exclude these, or leave `validation` "
            "out to set a share of the training rows aside",
        )
    if selection.overlap and not experiment.allow_overlap:
        raise UserError(
            f"fakes of {names(selection.overlap)} are tested, and others of them trained on",
            key,
            "exclude these generators in `test`, or say `allow_overlap: true`: the table then "
            "marks them, and leaves them out of its means",
        )


def names(generators: Iterable[str | None]) -> str:
    """Generators in a message, by name."""
    return ", ".join(sorted(name or "(none)" for name in generators))


def _some(ids: pa.ChunkedArray | pa.Array) -> str:
    return ", ".join(ids.slice(0, 3).to_pylist())
