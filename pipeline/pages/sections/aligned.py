"""Whether fakes fit their captions worse: the hypothesis, its distributions, and the objects."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.head.figures.wording import interval
from pipeline.pages.blocks import Block, Figures, Heading, Rows, Words
from pipeline.pages.figures.distributions import distribution
from pipeline.pages.table import table_of, text_of
from pipeline.query.questions import ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

GENERATORS = 12  # with a figure of their own, those of the most fakes
OBJECTS = 25
_AT_LEAST = 10  # objects of a head in reals, and in fakes


def distributions(connection: "DuckDBPyConnection") -> list[Block]:
    """The verdict of the hypothesis for each generator, and what it is about."""
    tested = ask(connection, "hypothesis").to_pylist()
    if not tested:
        return [
            Words(
                "The hypothesis is not tested: it takes images labelled real and images labelled "
                "fake, with their misalignment computed.",
                "quiet",
            ),
            *_means(connection),
        ]
    bins = ask(connection, "distributions", bins=_bins(tested))
    generators = sorted(pc.unique(bins["generator"]).to_pylist(), key=lambda name: name or "")
    fakes = {name: pc.sum(_of(bins, name)["fakes"]).as_py() for name in generators}
    kept = sorted(generators, key=lambda name: -fakes[name])[:GENERATORS]
    figures = [
        distribution(_of(bins, name), name, number, _verdict(tested, name))
        for number, name in enumerate(name for name in generators if name in kept)
    ]
    blocks: list[Block] = [Words(_in_words(tested)), Rows(_hypothesis(tested))]
    blocks.append(
        Words(
            "difference: mean cosine of the reals - that of the fakes; above 0, fakes align worse. "
            "delta: how much more often a real has a higher cosine than a fake than a lower one. "
            "p: of Welch's test, with Holm's correction over the rows of a level.",
            "quiet",
        )
    )
    if figures:
        blocks.append(Figures(figures))
    if len(generators) > GENERATORS:
        text = f"Drawn: the {GENERATORS} generators of the most fakes, of {len(generators):,}."
        blocks.append(Words(text, "quiet"))
    return blocks


def objects(connection: "DuckDBPyConnection") -> list[Block]:
    """The objects that are misaligned in fakes more often than in reals."""
    found = ask(connection, "misaligned_objects", at_least=_AT_LEAST)
    if not found.num_rows:
        return [
            Words(
                f"No head noun has {_AT_LEAST} measured objects in reals and as many in fakes.",
                "quiet",
            )
        ]
    limit = found["threshold"][0].as_py()
    about = "objects (head nouns) by how much more often they misalign in fakes than in reals"
    if found.num_rows > OBJECTS:
        about += f": the first {OBJECTS} of {found.num_rows:,}"
    columns = {
        "head": "object",
        "objects_real": "in reals",
        "objects_fake": "in fakes",
        "misaligned_real": "misaligned, of reals",
        "misaligned_fake": "misaligned, of fakes",
        "difference": "difference",
    }
    return [
        Rows(table_of(found.slice(0, OBJECTS), about, columns)),
        Words(
            f"Misaligned: a cosine of region and phrase below {limit:.3f}, which 5 % of the "
            "objects in reals have.",
            "quiet",
        ),
    ]


def _bins(tested: list[dict[str, Any]]) -> int:
    """How many bins show a shape and no noise, by Rice's rule for the middle one of the fakes."""
    many = sorted(row["fakes"] for row in tested if row["against"] is not None)
    return min(40, max(10, round(2 * many[len(many) // 2] ** (1 / 3))))


def _of(bins: pa.Table, name: str | None) -> pa.Table:
    same = pc.is_null(bins["generator"]) if name is None else pc.equal(bins["generator"], name)
    return bins.filter(same)


def _verdict(tested: list[dict[str, Any]], name: str | None) -> str:
    said = []
    for row in tested:
        if row["generator"] == name:
            figure = interval(row["difference"], row["low"], row["high"], "+")
            behind = f" (difference {figure})" if figure else ""
            said.append(f"{row['level']}: {row['verdict']}{behind}")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _in_words(tested: list[dict[str, Any]]) -> str:
    """How many generators have which verdict, level by level."""
    said = []
    for level in ("global", "local"):
        own = [row for row in tested if row["level"] == level and row["against"] is not None]
        many: dict[str, int] = {}
        for row in own:
            many[row["verdict"]] = many.get(row["verdict"], 0) + 1
        each = ", ".join(f"{verdict} in {count}" for verdict, count in many.items())
        if each:
            said.append(f"{level}, of {len(own)} generators: {each}")
    return (
        "The method's hypothesis is that fakes fit their captions worse than reals. It is tested "
        f"here, not assumed. By level {'; '.join(said)}."
    )


def _hypothesis(tested: list[dict[str, Any]]) -> Any:
    rows = [
        {
            "generator": row["generator"] or "(none)",
            "level": row["level"],
            "verdict": row["verdict"],
            "difference [95 %]": interval(row["difference"], row["low"], row["high"], "+"),
            "delta [95 %]": interval(row["delta"], row["delta_low"], row["delta_high"], "+"),
            "p": row["p"],
            "reals": row["reals"],
            "fakes": row["fakes"],
            "cosine, reals": row["cosine_real"],
            "cosine, fakes": row["cosine_fake"],
            "against": row["against"],
        }
        for row in tested
    ]
    about = "do fakes align worse with their captions than reals?"
    return table_of(pa.Table.from_pylist(rows), about, shown={"p": _chance})


def _chance(p: float) -> str:
    """Below the smallest number that a double has, p is no 0."""
    return "<1e-300" if p < 1e-300 else text_of(p)


def _means(connection: "DuckDBPyConnection") -> list[Block]:
    """What can be said without two labels to compare."""
    rows = [
        {
            "generator": row["generator"] or "(none)",
            "kind": row["kind"] or "unknown",
            "level": row["level"],
            "images": row["images"],
            "measured": row["measured"],
            "cosine [95 %]": interval(row["cosine"], row["low"], row["high"]),
            "sd": row["sd"],
            "distance": row["distance"],
        }
        for row in ask(connection, "by_generator").to_pylist()
        if row["variant"] == "clean"
    ]
    if not rows:
        return [Words("No misalignment is computed.", "quiet")]
    tones = {"kind": {"real": "real", "fake": "fake", "unknown": "none"}}
    about = "how well images and captions fit; clean images"
    return [
        Heading("By generator"),
        Rows(table_of(pa.Table.from_pylist(rows), about, tones=tones)),
    ]
