"""The same bytes in several places: in train and test, as real and fake, under several generators.

Exact, over the whole listing: an image_id is a hash of the content.
"""

from typing import TYPE_CHECKING, Any

from pipeline.audit.finding import Finding, not_judged, of_share, percent
from pipeline.errors import many

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SPLITS, LABELS, GENERATORS = "same bytes: splits", "same bytes: labels", "same bytes: generators"
_SEE = "`item query DAG duplicates` names them"

# a row a pair of splits that share images
_IN_SPLITS = """
with once as (
    select distinct image_id, split
    from listing
    where image_id is not null and split is not null
),

sizes as (
    select split, count(*) as size from once group by split
)

select
    a.split as one,
    b.split as other,
    count(*) as images,
    least(any_value(sizes_a.size), any_value(sizes_b.size)) as of
from once as a
inner join once as b on a.image_id = b.image_id and a.split < b.split
inner join sizes as sizes_a on a.split = sizes_a.split
inner join sizes as sizes_b on b.split = sizes_b.split
group by all
order by images / of desc, one, other
"""

_TWICE = """
with repeated as (
    select
        count(distinct label) > 1 as torn,
        count(distinct generator) > 1 as shared,
        max(label) = 1 as fake
    from listing
    where image_id is not null
    group by image_id
    having count(*) > 1
)

select
    count(*) filter (where torn),
    count(*) filter (where shared and not torn and fake),
    count(*) filter (where shared and not torn and not coalesce(fake, false))
from repeated
"""

_KINDS = "select count(distinct label), count(distinct generator) from listing"


def copies(connection: "DuckDBPyConnection") -> list[Finding]:
    """What of the corpus lies in several splits, under two labels, under several generators."""
    torn, fakes, reals = connection.sql(_TWICE).fetchall()[0]
    labels, generators = connection.sql(_KINDS).fetchall()[0]
    found = [_splits(connection), _labels(torn), _generators(fakes, reals)]
    if labels < 2:
        found[1] = not_judged(LABELS, "the listing has no two labels")
    if generators < 2:
        found[2] = not_judged(GENERATORS, "the listing has no two generators")
    return found


def _splits(connection: "DuckDBPyConnection") -> Finding:
    names = [name for (name,) in connection.sql("select distinct split from listing").fetchall()]
    if len([name for name in names if name is not None]) < 2:
        return not_judged(SPLITS, "the listing has no two splits")
    rows = connection.sql(_IN_SPLITS).to_arrow_table().to_pylist()
    if not rows:
        return Finding(SPLITS, "none", "ok")
    worst = rows[0]
    share = worst["images"] / worst["of"]
    figure = f"{many(worst['images'], 'image')} in {worst['one']} and {worst['other']}"
    more = f"; so do {len(rows) - 1:,} other pairs of splits" if len(rows) > 1 else ""
    return Finding(
        SPLITS,
        f"{figure} ({percent(share)} of the smaller){more}",
        of_share(share, 0.0),
        advice=f"leave them out of one side; {_SEE}. `item train` refuses an image on two sides",
        details=tuple({**row, "share": row["images"] / row["of"]} for row in rows),
    )


def _labels(torn: int) -> Finding:
    if not torn:
        return Finding(LABELS, "none", "ok", details=({"images": 0},))
    return Finding(
        LABELS,
        f"{many(torn, 'image')} listed as real and as fake",
        "look",
        advice=f"mend the corpus, or leave them out: {_SEE}. `item train` refuses them",
        details=({"images": torn},),
    )


def _generators(fakes: int, reals: int) -> Finding:
    details: tuple[dict[str, Any], ...] = ({"fakes": fakes, "reals": reals},)
    if fakes:
        return Finding(
            GENERATORS,
            f"{fakes:,} {'fake is' if fakes == 1 else 'fakes are'} listed under several generators",
            "look",
            advice=f"train on one and test on the other, and they are on both sides; {_SEE}",
            details=details,
        )
    if reals:
        told = "dags/README.md, How to read the tables"
        seen = f"intervals of means draw a shared real image once ({told})"
        figure = f"{reals:,} real images stand beside several generators"
        return Finding(GENERATORS, figure, "ok", seen, details=details)
    return Finding(GENERATORS, "none", "ok", details=details)
