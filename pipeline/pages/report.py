"""The report of a DAG: all that the store can say of it, in one page."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.audit.finding import summary
from pipeline.errors import UserError
from pipeline.head.figures.wording import digits, generator_name
from pipeline.head.result import Study
from pipeline.head.saved_runs import saved_studies
from pipeline.pages.blocks import Block, Section, Words
from pipeline.pages.page import render
from pipeline.pages.sections import aligned, audited, computed, seen, trained
from pipeline.version import __version__

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipeline.audit.finding import Finding
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store


def report(
    connection: "DuckDBPyConnection",
    dag: "Dag",
    store: "Store",
    findings: "Sequence[Finding]",
    names: Sequence[str],
    marked: str = "",
) -> str:
    """The page, as HTML. `names`: the experiments that it shows.

    `connection`: one of `pipeline.query.open_store.connect`, with runs. `findings`: those of the
    audit. What the store cannot say has a sentence in the place of its section; nothing fails.
    """
    # three queries read them, and of a million images with variants each would count all rows
    _tried(lambda: connection.execute("create temp table receipts as from main.receipts"))
    studies: dict[str, Study] = {}
    why = ""
    try:
        studies = saved_studies(connection, dag, store.runs_folder, names)
    except UserError as error:
        why = str(error)
    of = _tried(lambda: trained.chosen(studies))
    counts = _tried(lambda: computed.counts(connection))
    sections = [
        _section(
            "computed", "What was computed", lambda: computed.computed(connection, dag, counts)
        ),
        _section("failures", "What failed", lambda: computed.failures(connection)),
        _section("audit", "Audit of the corpus", lambda: audited.audited(findings)),
        _section("tables", "Across generators", lambda: _tables(studies, why)),
        _section("curves", "Curves and calibration", lambda: trained.curve_figures(connection, of)),
        _section("figures", "Robustness, global and local", lambda: trained.paper_figures(studies)),
        _section(
            "distributions",
            "Do fakes fit their captions worse?",
            lambda: aligned.distributions(connection),
        ),
        _section("objects", "Objects that misalign most", lambda: aligned.objects(connection)),
        _section("gallery", "Images", lambda: seen.gallery(connection, dag, of)),
    ]
    now = datetime.now(UTC)
    made = f"Written by item {__version__} on {now:%Y-%m-%d} at {now:%H:%M} UTC, from {store.root}."
    lead = _lead(counts, findings, of)
    return render(dag.name, "Report of a DAG", lead, sections, made, marked)


def _section(name: str, title: str, make: Callable[[], list[Block]]) -> Section:
    """A section, or in its place why there is none."""
    import duckdb

    try:
        return Section(name, title, make())
    except (UserError, duckdb.Error) as error:
        what = error.what if isinstance(error, UserError) else str(error).splitlines()[0]
        return Section(name, title, [Words(f"Not known: {what}", "warning")])


def _tried(make: Callable[[], Any]) -> Any:
    import duckdb

    with suppress(UserError, duckdb.Error):
        return make()
    return None


def _tables(studies: dict[str, Study], why: str) -> list[Block]:
    return [Words(f"Not known: {why}", "warning")] if why else trained.tables(studies)


def _lead(
    counts: Mapping[str, Any] | None, findings: "Sequence[Finding]", of: trained.Chosen | None
) -> list[tuple[str, str]]:
    """The few figures to read first."""
    lead = []
    if counts:
        lead.append(("images", f"{counts['images']:,}"))
        labels = f"{counts['reals']:,} real, {counts['fakes']:,} fake"
        lead.append(("labels", labels if counts["reals"] or counts["fakes"] else "none"))
    if findings:
        lead.append(("audit", summary(findings)))
    if of is not None:
        best = [
            row
            for row in of.result.means.to_pylist()
            if row["method"] == of.method and row["variant"] == of.result.experiment.variant
        ]
        for row in best:
            lead.append((f"AP, {generator_name(row)}", f"{digits(row['ap'])} ({of.method})"))
    return lead
