"""One image, and all that the store knows of it: as tables, and as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.pages.blocks import Block, Facts, Figures, Pictures, Rows, Section, Words
from pipeline.pages.figures.standing import standing
from pipeline.pages.gallery import Said, pictures, short_path
from pipeline.pages.page import render
from pipeline.pages.picture import LARGE, SIDE
from pipeline.pages.table import table_of
from pipeline.query.questions import ask
from pipeline.version import __version__

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag

NEIGHBOURS = 4
_KINDS = {0: "real", 1: "fake"}
_FILES = """
    select uri, label, generator, dataset, split, class_name, bytes, width, height, format, mode,
        jpeg_quality, error
    from listing where image_id = $image order by uri
"""
_VARIANTS = """
    select
        images.variant, any_value(images.width) as width, any_value(images.height) as height,
        any_value(captions.caption) as caption,
        max(cosine) filter (where level = 'global') as cosine_global,
        avg(cosine) filter (where level = 'local') as cosine_local,
        coalesce(any_value(images.error), any_value(captions.error), min(misalignment.error))
            as error
    from images
    left join captions on images.image_id = captions.image_id
    left join misalignment on images.image_id = misalignment.image_id
    where images.content_id = $image
    group by images.variant
    order by severity(images.variant)
"""
# bins of a level by Rice's rule: they show a shape, and no noise
_BINS = """
    with source as materialized (
        select level, label, step, images from cosine_steps('clean') where step is not null
    ),
    edges as (
        select
            level, min(step) as lowest, max(step) - min(step) as reach,
            least(40, greatest(10, round(2 * cbrt(sum(images)))))::bigint as bins
        from source group by level
    ),
    counted as (
        select
            level,
            least(floor((step - lowest) * bins / greatest(reach, 1))::bigint, bins - 1) as bin,
            any_value(lowest) as lowest,
            any_value(greatest(reach, 1) / bins) as width,
            coalesce(sum(images) filter (where label = 0), 0)::bigint as reals,
            coalesce(sum(images) filter (where label = 1), 0)::bigint as fakes
        from source inner join edges using (level)
        group by level, bin
    )
    select
        level,
        (lowest + bin * width) / 65536 as bin_from,
        (lowest + (bin + 1) * width) / 65536 as bin_to,
        reals,
        fakes,
        reals / nullif(sum(reals) over (partition by level), 0) as real_share,
        fakes / nullif(sum(fakes) over (partition by level), 0) as fake_share
    from counted
    order by level, bin
"""
# what the tables of an image are, in words
TITLES = {
    "files": "Its files",
    "ranks": "Its cosines beside those of all reals and fakes",
    "objects": "Its objects",
    "verdicts": "What every run says of it: verdict and P(fake), ? where it is unsure",
    "neighbours": "Its nearest reals and fakes",
    "variants": "The image in its variants",
}


@dataclass(frozen=True)
class Known:
    """An image: `about` are its single values, `tables` the others, by the names of TITLES."""

    image_id: str
    about: Mapping[str, Any]
    tables: Mapping[str, pa.Table]


def known(connection: "DuckDBPyConnection", image_id: str) -> Known:
    """All that the store knows of a content of its listing; tables may be empty."""
    files = connection.sql(_FILES, params={"image": image_id}).to_arrow_table()
    variants = connection.sql(_VARIANTS, params={"image": image_id}).to_arrow_table()
    first = files.slice(0, 1).to_pylist()[0]
    clean = next((row for row in variants.to_pylist() if row["variant"] == "clean"), {})
    labels = {row["label"] for row in files.to_pylist()}
    label = labels.pop() if len(labels) == 1 else None
    return Known(
        image_id,
        {
            "image_id": image_id,
            "uri": first["uri"],
            "label": None if label is None else _KINDS[label],
            "caption": clean.get("caption"),
            "failure": clean.get("error") or first["error"],
        },
        {
            "files": files,
            "ranks": ask(connection, "image_ranks", image=image_id),
            "objects": connection.sql(
                "from objects_of([$image])", params={"image": image_id}
            ).to_arrow_table(),
            "verdicts": ask(connection, "image_verdicts", image=image_id),
            "neighbours": ask(
                connection, "image_neighbours", image=image_id, neighbours=NEIGHBOURS
            ),
            "variants": variants,
        },
    )


def page(connection: "DuckDBPyConnection", dag: "Dag", one: Known) -> str:
    """The image as a page, with its picture and those of its neighbours."""
    root, tables = dag.corpus.root, one.tables
    label = one.about["label"] or "no label"
    said = Said(one.image_id, one.about["caption"], _facts(one), one.about["label"] or "")
    picture: list[Block] = [Pictures(pictures(connection, root, [said], LARGE), large=True)]
    if one.about["failure"]:
        picture.append(Words(f"It failed: {one.about['failure']}", "warning"))
    sections = [
        Section("picture", "The image", picture),
        Section("file", TITLES["files"], _files(tables["files"], root)),
        Section("cosines", TITLES["ranks"], _ranks(connection, tables["ranks"])),
        Section("verdicts", TITLES["verdicts"].partition(":")[0], _verdicts(tables["verdicts"])),
        Section("neighbours", TITLES["neighbours"], _neighbours(connection, root, tables)),
        Section("variants", TITLES["variants"], _variants(tables["variants"])),
    ]
    lead = [("label", label), ("DAG", dag.name), ("image_id", one.image_id)]
    made = f"Written by item {__version__} on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC."
    name = short_path(str(one.about["uri"]), root).rpartition("/")[2]
    return render(name, "An image", lead, sections, made)


def _facts(one: Known) -> list[str]:
    rows = one.tables["ranks"].to_pylist()
    return [f"cosine {row['cosine']:.3f}" for row in rows if row["level"] == "global"]


def _files(files: pa.Table, root: str) -> list[Block]:
    blocks: list[Block] = []
    for row in files.to_pylist():
        size = f"{row['width']} x {row['height']} pixels, {row['mode']}"
        pairs = [
            ("path", short_path(row["uri"], root)),
            ("file", f"{row['format']}, {row['bytes'] or 0:,} bytes, {size}"),
            ("label", _KINDS.get(row["label"], "unknown")),
        ]
        if row["jpeg_quality"] is not None:
            pairs.append(("JPEG quality", str(row["jpeg_quality"])))
        for key in ("generator", "dataset", "split", "class_name"):
            if row[key] is not None:
                pairs.append((key.replace("_", " "), row[key]))
        blocks.append(Facts(pairs))
    return blocks


def _ranks(connection: "DuckDBPyConnection", ranks: pa.Table) -> list[Block]:
    if not ranks.num_rows:
        return [Words("No cosine of it is computed.", "quiet")]
    columns = {
        "level": "level",
        "phrase": "phrase",
        "cosine": "cosine",
        "distance": "distance",
        "among_reals": "above, of reals",
        "among_fakes": "above, of fakes",
        "mean_real": "mean of reals",
        "mean_fake": "mean of fakes",
    }
    shares = dict.fromkeys(("among_reals", "among_fakes"), _percent)
    about = "an object is compared with all objects; global and local with images"
    blocks: list[Block] = [Rows(table_of(ranks, about, columns, shares))]
    bins = connection.sql(_BINS).to_arrow_table()
    own = {row["level"]: row for row in ranks.to_pylist() if row["level"] != "object"}
    return [*blocks, Figures([standing(bins, own)])] if bins.num_rows and own else blocks


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _verdicts(verdicts: pa.Table) -> list[Block]:
    if not verdicts.num_rows:
        text = "No run of this DAG tested it: it was trained on, validated on, or not selected."
        return [Words(text, "quiet")]
    columns = {
        "verdict": "verdict",
        "probability": "P(fake)",
        "threshold": "threshold",
        "right": "right",
        "sure": "sure",
        "method": "method",
        "experiment": "experiment",
        "seed": "seed",
        "variant": "variant",
        "generator": "tested for",
    }
    tones = {"verdict": {"real": "real", "fake": "fake"}}
    about = "as a test image; the threshold, and who is sure, were chosen on validation images"
    return [Rows(table_of(verdicts, about, columns, tones=tones))]


def _neighbours(
    connection: "DuckDBPyConnection", root: str, tables: Mapping[str, pa.Table]
) -> list[Block]:
    rows = tables["neighbours"].to_pylist()
    if not rows:
        return [Words("It has no vector that could be compared with others.", "quiet")]
    said = [
        Said(
            row["image_id"],
            row["caption"],
            [f"{row['space']} {row['distance']:.3f}", *filter(None, [row["generator"]])],
            row["kind"],
        )
        for row in rows
    ]
    return [
        Words(
            "By distance. D: of the global misalignment, Euclidean. CLIP: of the image embeddings, "
            "1 - cosine. All clean images with a label were compared."
        ),
        Pictures(pictures(connection, root, said, SIDE)),
    ]


def _variants(variants: pa.Table) -> list[Block]:
    return [Rows(table_of(variants, "clean, and as it was perturbed"))]


def _by_run(verdicts: pa.Table) -> pa.Table:
    """A row a run and what it tested the image as; a column a method."""
    place = ("experiment", "seed", "variant", "generator")
    methods = list(dict.fromkeys(verdicts["method"].to_pylist()))
    runs: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in verdicts.to_pylist():
        unsure = "" if row["sure"] else " ?"
        said = f"{row['verdict']} {row['probability']:.3f}{unsure}"
        runs.setdefault(tuple(row[key] for key in place), {})[row["method"]] = said
    columns = {key: [run[at] for run in runs] for at, key in enumerate(place)}
    return pa.table({**columns, **{m: [own.get(m) for own in runs.values()] for m in methods}})


def shown(one: Known) -> Sequence[tuple[str, pa.Table]]:
    """The tables for a terminal: name and rows, without those that have none."""
    ranks = one.tables["ranks"]
    found = dict(one.tables)
    if ranks.num_rows:
        columns = ("level", "phrase", "cosine", "distance", "among_reals", "among_fakes")
        found["ranks"] = ranks.select([*columns, "mean_real", "mean_fake"])
    found["verdicts"] = _by_run(one.tables["verdicts"])
    objects = ("object_no", "phrase", "cosine", "x0", "y0", "x1", "y1", "score")
    found["objects"] = one.tables["objects"].select(objects)
    return [(name, table) for name, table in found.items() if table.num_rows]
