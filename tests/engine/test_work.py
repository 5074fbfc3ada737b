"""Rows of a part: exactly those are computed that lack, that failed for now, or whose inputs are
others now; and what is made is committed while more is on its way."""

import io
import shutil
from contextlib import nullcontext

import pyarrow as pa
import pytest
from rich.console import Console

from pipeline.corpus import upright
from pipeline.dag.graph import load
from pipeline.engine import joint_pass, pace, work
from pipeline.engine.progress import Reporter
from pipeline.engine.run import Options, run
from pipeline.query import open_store
from pipeline.store.contents import asked
from pipeline.store.parts import Store, read_part, write_part
from pipeline.store.totals import totals
from pipeline.store.upkeep.retry import forget
from tests.conftest import draw
from tests.helpers.cheap_stages import Cheap

PERMANENT = "image file is truncated"


class Killed(BaseException):
    """As Ctrl-C: nothing of ours may catch it."""


class Bench:
    """A small corpus and its store, stages that need no model, and what these were asked."""

    def __init__(self, path, store):
        self.path, self.store, self.cheap = path, store, Cheap(self.begin)
        self.asked, self.until = [], None

    def begin(self, node):
        self.asked.append(node)
        if self.until is not None and self.asked.count("captions") > self.until:
            raise Killed

    def dag(self, *overrides):
        return self.cheap.dag(load(str(self.path), list(overrides)))

    def run(self, *overrides):
        """Runs; returns the nodes whose stages were asked for anything."""
        self.asked.clear()
        dag = self.dag(*overrides)
        reporter = Reporter(Console(file=io.StringIO()))
        self.totals = run(dag, self.store, list(dag.nodes.values()), Options(True), reporter)
        return set(self.asked)

    def part(self, node, number=0):
        return self.store.parts(self.dag().nodes[node])[number]

    def captioned(self):
        return sum(self.cheap.captioned.values())


@pytest.fixture
def bench(write_dag, fake_models, tmp_path):
    return Bench(write_dag(models=fake_models, part_size=6), Store(tmp_path / "store"))


def test_a_run_with_nothing_to_do_asks_no_stage(bench):
    assert len(bench.run()) == 8 and bench.captioned() == 12
    assert bench.run() == set()


def test_other_words_for_one_image_cost_what_depends_on_them(bench):
    bench.run()
    table, facts = read_part(bench.part("captions"))
    words = table["caption"].to_pylist()
    words[2] = "a bird and a plane"
    where = table.column_names.index("caption")
    table = table.set_column(where, "caption", pa.array(words))
    write_part(bench.part("captions"), table, {k: v for k, v in facts.items() if k != "sums"})
    sizes = []
    before = bench.cheap.objects
    bench.cheap.objects = lambda i, p, m: (sizes.append(len(i["captions"])), before(i, p, m))[1]
    below = {"objects", "regions", "text_embeddings", "misalignment", "features"}
    assert bench.run() == below  # the regions are where they were: their embeddings stay
    assert sizes == [1] and bench.captioned() == 12
    assert bench.run() == set()


def test_a_part_that_is_lost_and_made_again_as_it_was_costs_nothing_below(bench):
    bench.run()
    bench.part("captions").unlink()
    assert bench.run() == {"captions"} and bench.captioned() == 18


def test_what_failed_for_now_is_tried_again_and_what_depends_on_it_too(bench, corpus, monkeypatch):
    victim, read = str(corpus / "test" / "gan" / "0_real" / "1.jpg"), upright.read_bytes

    def refusing(uri):
        if uri == victim:
            raise OSError(5, "Input/output error", uri)
        return read(uri)

    monkeypatch.setattr(upright, "read_bytes", refusing)
    bench.run()
    failed = {total.node: total.rows_failed for total in bench.totals}
    assert failed["captions"] == failed["features"] == 1
    assert bench.run() == {"captions", "image_embeddings"}  # and it fails again
    monkeypatch.setattr(upright, "read_bytes", read)
    bench.run()
    assert {total.rows_failed for total in bench.totals} == {0}
    assert bench.captioned() == 12 and bench.run() == set()


def test_a_contents_own_fault_stays_until_it_is_to_be_tried_again(bench, corpus, monkeypatch):
    victim = corpus / "test" / "gan" / "0_real" / "1.jpg"
    victim.write_bytes(victim.read_bytes()[:-300])
    bench.run()
    assert bench.run() == set()
    dag = bench.dag()
    assert forget(dag, bench.store, [dag.nodes["captions"]], "%no such words%") == {"captions": 0}
    assert forget(dag, bench.store, [dag.nodes["captions"]], f"%{PERMANENT}%") == {"captions": 1}
    captions = next(t for t in totals(dag, bench.store, dag.computed) if t.node == "captions")
    assert (captions.rows_in, captions.parts_done) == (11, 1)
    assert bench.run() == {"captions"}
    every = forget(dag, bench.store, list(dag.nodes.values()), "%")
    assert every["captions"] == every["features"] == 1 and every["listing"] == 0
    bench.run()
    assert bench.captioned() == 11  # it never was


def test_a_killed_run_keeps_what_it_had_of_a_part(bench, monkeypatch):
    monkeypatch.setattr(pace, "COMMIT", 0.0)
    monkeypatch.setattr(pace, "images", lambda nodes: 2)
    bench.until = 2  # two slices of the first part
    with pytest.raises(Killed):
        bench.run()
    assert len(read_part(bench.part("captions"))[0]) == 4
    bench.until = None
    bench.run()
    assert bench.captioned() == 12 and bench.run() == set()


def test_rows_of_other_versions_are_told_in_the_parts_footer(bench, corpus, monkeypatch):
    limit = "corpus.limit=4"
    bench.run(limit)
    monkeypatch.setattr(work, "libraries", lambda: "item 9, torch 9")
    bench.run()
    bench.part("captions").unlink()
    bench.run()
    draw(corpus / "test" / "gan" / "0_real" / "0.jpg", 950)
    assert bench.store.facts(bench.part("captions"))["libraries"] == "item 9, torch 9"
    (mixed,) = {total.mixed for total in bench.totals if total.node == "features"}
    assert "item 0.1.0 and 9" in mixed


def test_two_corpora_share_their_rows_and_see_their_own(bench, corpus, tmp_path):
    bench.run()
    other = tmp_path / "other"
    shutil.copytree(corpus / "test" / "gan", other / "train" / "somewhere")
    draw(other / "train" / "somewhere" / "0_real" / "new.jpg", 960)
    bench.run(f"corpus.root={other}")
    assert bench.captioned() == 13
    counts = "select (select count(*) from captions), (select count(distinct text) from "
    counts += "text_embeddings), (select count(*) from features)"
    for overrides, images in (((), 12), ((f"corpus.root={other}",), 7)):
        dag = bench.dag(*overrides)
        assert sum(len(one.ids) for one in asked(dag, bench.store)) == images
        with open_store.connect(dag, bench.store) as connection:
            captions, texts, features = connection.execute(counts).fetchone()
            used = (
                "select count(*) from (select caption from captions union select phrase from "
                "objects)"
            )
            assert (captions, features) == (images, images)
            counted = "select distinct rows_in from (select node, sum(rows_in) as rows_in from "
            counted += "receipts where node in ('captions', 'features') group by node)"
            assert connection.execute(counted).fetchall() == [(images,)]
            assert connection.execute(used).fetchone() == (texts,)
    assert bench.run() == set()


def test_a_run_over_one_corpus_makes_no_stale_row_of_another_pass_for_current(bench, corpus):
    """The row that changed is not asked for by the run that comes next."""
    bench.run()
    table, facts = read_part(bench.part("captions"))
    dag = bench.dag()
    some = asked(dag, bench.store)[0]
    words = ["a bird and a plane", *table["caption"].to_pylist()[1:]]
    where = table.column_names.index("caption")
    table = table.set_column(where, "caption", pa.array(words))
    write_part(bench.part("captions"), table, {k: v for k, v in facts.items() if k != "sums"})
    path = next(uri for uri in some.uris[:1].to_pylist())
    kept = corpus.parent / "aside.jpg"
    shutil.move(path, kept)  # the corpus no longer asks for it
    bench.run()
    shutil.move(kept, path)
    bench.run()
    with open_store.connect(bench.dag(), bench.store) as connection:
        sql = "select phrase from objects where image_id = ? order by object_no"
        found = connection.execute(sql, [some.ids[0].as_py()]).fetchall()
    assert found == [("bird",), ("plane",)]


def test_images_that_one_node_alone_opens_are_not_kept_for_others(bench, monkeypatch):
    monkeypatch.setattr(joint_pass, "SLICE_PIXELS", 1)  # one image at a time, where pixels are kept
    kept = []
    monkeypatch.setattr(work, "sharing", lambda: kept.append(1) or nullcontext())
    dag = bench.dag()
    reporter = Reporter(Console(file=io.StringIO()))
    run(dag, bench.store, [dag.nodes["captions"]], Options(True), reporter)
    assert (len(bench.asked), kept) == (2, [])  # two parts
    bench.asked.clear()
    run(dag, bench.store, list(dag.nodes.values()), Options(True), reporter)
    assert bench.asked.count("regions") == len(kept) == 12
