"""How many images of each label there are, and whether one label's fail more often."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scipy.stats import fisher_exact

from pipeline.audit.finding import (
    FEWEST,
    LEVEL,
    LOOK_FAILED,
    LOOK_RARE,
    Finding,
    not_judged,
    percent,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BALANCE, FAILURES = "class balance", "failures by label"

_COUNTS = """
select
    generator,
    split,
    count(distinct image_id) filter (where label = 0) as reals,
    count(distinct image_id) filter (where label = 1) as fakes,
    count(*) filter (where label is null) as unlabelled
from listing
group by generator, split
order by generator nulls first, split nulls first
"""

_ALL = """
select
    count(distinct image_id) filter (where label = 0) as reals,
    count(distinct image_id) filter (where label = 1) as fakes,
    count(*) filter (where label is null) as unlabelled,
    count(*) as files,
    count(image_id) - count(distinct image_id) as copies
from listing
"""

# a row a node: of how many files of each label it has no row that is ok; nodes that are not
# complete count what they have
_FAILED = """
with once as (
    select
        coalesce(image_id, uri) as image_id,
        min(uri) as uri,
        min(label) as label
    from listing
    where label is not null
    group by coalesce(image_id, uri)
    having min(label) = max(label)
),

failed as (
    select distinct
        failures.node,
        once.image_id,
        once.label
    from failures
    inner join listing on failures.key = listing.uri
    inner join once on once.image_id = coalesce(listing.image_id, listing.uri)
    where failures.table_name = 'listing'
    union
    select distinct
        failures.node,
        once.image_id,
        once.label
    from failures
    inner join once on failures.key = once.image_id
    where failures.table_name not in ('listing', 'text_embeddings')
),

sizes as (
    select
        count(*) filter (where label = 0) as reals,
        count(*) filter (where label = 1) as fakes
    from once
)

select
    failed.node,
    count(*) filter (where failed.label = 0) as reals_failed,
    count(*) filter (where failed.label = 1) as fakes_failed,
    any_value(sizes.reals) as reals,
    any_value(sizes.fakes) as fakes
from failed
cross join sizes
group by failed.node
order by failed.node
"""


def balance(connection: "DuckDBPyConnection") -> Finding:
    """Images by label; details by generator and split."""
    details = tuple(connection.sql(_COUNTS).to_arrow_table().to_pylist())
    ((reals, fakes, unlabelled, files, copies),) = connection.sql(_ALL).fetchall()
    figure = f"{reals:,} real, {fakes:,} fake images in {files:,} files"
    figure += f", {copies:,} of them the bytes of another" if copies else ""
    figure += f", {unlabelled:,} without a label" if unlabelled else ""
    rare = min(reals, fakes)
    if rare < FEWEST:
        lacking = "fake" if fakes < reals else "real"
        why = "no label" if not reals + fakes else f"too few {lacking} images"
        advice = "the layout reads labels out of paths: `corpus.layout`"
        if rare and not unlabelled:
            advice = f"it takes {FEWEST} of each label at least"
        return Finding(
            BALANCE,
            figure,
            "not judged",
            f"{why}: nothing can be said of what tells labels apart",
            advice,
            details,
        )
    if alone := _of_one_label(details):
        advice = (
            "a label and a split that go together are told apart by whatever differs between "
            "splits, and AP and AUROC need both: move images, or the predicates"
        )
        return Finding(BALANCE, figure, "look", "; ".join(alone), advice, details)
    own = {row["generator"] for row in details if row["reals"]}
    lonely = sorted({str(r["generator"]) for r in details if r["fakes"]} - {str(o) for o in own})
    seen = f"without real images of their own: {', '.join(lonely)}" if lonely else ""
    if rare / (reals + fakes) < LOOK_RARE:
        advice = "read AUROC and balanced accuracy, not accuracy; AP's chance is the share of fakes"
        return Finding(BALANCE, figure, "look", seen, advice, details)
    return Finding(BALANCE, figure, "ok", seen, "", details)


def _of_one_label(details: Sequence[Mapping[str, Any]]) -> list[str]:
    """The splits, and generators in a split, that lack a label which there is in other splits.

    Of generators only those with both: sets of reals, and fakes measured against them, are meant.
    """
    found: list[str] = []
    for name in (None, *dict.fromkeys(row["generator"] for row in details)):
        rows = [row for row in details if name in (None, row["generator"])]
        counts: dict[str, tuple[int, int]] = {}
        for row in rows:
            reals, fakes = counts.get(row["split"], (0, 0))
            counts[row["split"]] = (reals + row["reals"], fakes + row["fakes"])
        known = {split: each for split, each in counts.items() if split is not None}
        if not all(any(each[place] for each in known.values()) for place in (0, 1)):
            continue
        alone = [
            f"{split} only {('fake', 'real')[each[0] > 0]} images"
            for split, each in known.items()
            if sum(each) >= FEWEST and not min(each)
        ]
        if alone:
            found.append(f"{'in' if name is None else f'{name}: in'} {', '.join(alone)}")
            if name is None:
                break
    return found


def failures(connection: "DuckDBPyConnection") -> Finding:
    """The node of which one label's images fail more often than the other's, if there is one."""
    found = connection.sql(_FAILED).to_arrow_table().to_pylist()
    reals, fakes, *_ = connection.sql(_ALL).fetchall()[0]
    if min(reals, fakes) < FEWEST:
        return not_judged(FAILURES, "too few images of a label")
    if not found:
        return Finding(FAILURES, "nothing failed", "ok")
    for row in found:
        real, fake = (row[f"{name}_failed"] / row[name] for name in ("reals", "fakes"))
        bad = [row["reals_failed"], row["fakes_failed"]]
        good = [row["reals"] - bad[0], row["fakes"] - bad[1]]
        row["p"] = float(fisher_exact([bad, good]).pvalue)
        row["real_share"], row["fake_share"] = real, fake
    worst = max(found, key=lambda row: abs(row["real_share"] - row["fake_share"]))
    told = [
        row
        for row in found
        if row["p"] < LEVEL / len(found)
        and abs(row["real_share"] - row["fake_share"]) >= LOOK_FAILED
    ]
    if told:
        worst = max(told, key=lambda row: abs(row["real_share"] - row["fake_share"]))
    shares = (percent(worst[f"{name}_share"]) for name in ("real", "fake"))
    figure = "{}: {} of real, {} of fake".format(worst["node"], *shares)
    advice = (
        "what fails is neither trained nor tested on, so the others are no fair sample: "
        "`item query DAG failure_causes`"
    )
    return Finding(
        FAILURES, figure, "look" if told else "ok", "", advice if told else "", tuple(found)
    )
