"""The gallery: the images that a method finds hardest, and those of which it is surest."""

from typing import TYPE_CHECKING, Any

from pipeline.pages.blocks import Block, Heading, Pictures, Words
from pipeline.pages.gallery import Said, pictures
from pipeline.pages.picture import SIDE
from pipeline.pages.sections.trained import Chosen
from pipeline.query.questions import ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.dag.graph import Dag

EACH = 8  # pictures of a kind
_PIXELS = Words(
    f"Pictures have at most {SIDE} pixels a side; the numbers are the cosines of region and "
    "phrase, and without a box the object was not located.",
    "quiet",
)


def gallery(connection: "DuckDBPyConnection", dag: "Dag", of: Chosen | None) -> list[Block]:
    """Hardest reals, most convincing fakes, clearest detections, by the chosen run.

    Without a run the images that fit their captions least.
    """
    if of is None:
        return _without_runs(connection, dag)
    asked = {**of.asked, "images": EACH, "variant": of.result.experiment.variant}
    hardest = ask(connection, "hardest_images", **asked).to_pylist()
    clearest = ask(connection, "clearest_images", **asked).to_pylist()
    groups = {
        "Hardest reals": [row for row in hardest if row["kind"] == "real"],
        "Most convincing fakes": [row for row in hardest if row["kind"] == "fake"],
        "Clearest detections": [row for row in clearest if row["kind"] == "fake"],
    }
    said = [_said(row) for rows in groups.values() for row in rows]
    made = iter(pictures(connection, dag.corpus.root, said))
    blocks: list[Block] = [Words(f"By {of.words}, of its test images.")]
    for title, rows in groups.items():
        own = [next(made) for _ in rows]
        blocks.append(Heading(title))
        blocks.append(Pictures(own) if own else Words("There are none.", "quiet"))
    return [*blocks, _PIXELS]


def _without_runs(connection: "DuckDBPyConnection", dag: "Dag") -> list[Block]:
    rows = ask(connection, "most_misaligned", images=EACH).to_pylist()
    rows = [row for row in rows if row["cosine_global"] is not None]
    why = Words("No run says which images are hard: here are those that fit their caption least.")
    if not rows:
        return [Words("No run, and no misalignment: there is nothing to choose by.", "quiet")]
    said = [
        Said(
            row["image_id"],
            row["caption"],
            [f"cosine {row['cosine_global']:.3f}"],
            row["kind"] or "",
        )
        for row in rows
    ]
    return [why, Pictures(pictures(connection, dag.corpus.root, said)), _PIXELS]


def _said(row: dict[str, Any]) -> Said:
    facts = [f"P(fake) {row['probability']:.3f}"]
    if row["generator"]:
        facts.append(row["generator"])
    if row["cosine_global"] is not None:
        facts.append(f"cosine {row['cosine_global']:.3f}")
    return Said(row["image_id"], row["caption"], facts, row["kind"])
