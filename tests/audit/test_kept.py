import pytest

from pipeline.audit import audit as audit_module
from pipeline.audit.audit import audit
from pipeline.audit.finding import Finding
from pipeline.audit.kept import at_hand
from pipeline.dag.graph import load
from pipeline.query.open_store import connect
from pipeline.store.parts import Store
from tests.conftest import draw
from tests.helpers.stores import listed


@pytest.fixture
def graph(tmp_path):
    """A DAG of nothing but a corpus: 25 real and 25 fake images, all fakes PNG."""
    for number in range(25):
        draw(tmp_path / "corpus" / "gan" / "0_real" / f"{number:03d}.jpg", number)
        draw(tmp_path / "corpus" / "gan" / "1_fake" / f"{number:03d}.png", 100 + number)
    path = tmp_path / "dag.yaml"
    path.write_text(
        f"name: small\ncorpus: {{root: {tmp_path / 'corpus'}, layout: forensynths}}\nnodes: {{}}\n"
    )
    return load(str(path))


@pytest.fixture
def store(tmp_path, graph):
    found = Store(tmp_path / "store")
    listed(graph, found)
    return found


def test_every_check_has_a_finding(graph, store):
    with connect(graph, store) as connection:
        found = {one.check: one for one in audit(connection, graph)}
    assert len(found) == 22
    assert found["format"].verdict == "leak"
    assert found["cut by the crop"].verdict == "ok"
    nothing = {name for name, one in found.items() if one.verdict == "not judged"}
    assert nothing == {
        "JPEG quality",
        "JPEG tables",
        "caption words",
        *("same bytes: splits", "same bytes: generators"),
        *(f"near-duplicates: {kind}" for kind in ("splits", "experiments", "labels", "generators")),
    }


def test_findings_are_kept_until_anything_changes(graph, store, monkeypatch):
    asked = []
    real = audit_module.audit

    def counted(*given, **named):
        asked.append(named)
        return real(*given, **named)

    monkeypatch.setattr(audit_module, "audit", counted)
    first = at_hand(graph, store, lambda: connect(graph, store))
    again = at_hand(graph, store, lambda: pytest.fail("nothing has changed"))
    assert asked == [{"near": False}]
    assert [one.plain() for one in again] == [one.plain() for one in first]
    assert all(isinstance(one, Finding) for one in again)
    draw(graph.path.parent / "corpus" / "gan" / "0_real" / "more.jpg", 999)
    listed(graph, store)
    (balance, *_) = at_hand(graph, store, lambda: connect(graph, store))
    assert balance.figure == "26 real, 25 fake images in 51 files"
    assert len(asked) == 2


def test_what_else_was_left_in_the_store_stays(graph, store):
    node = graph.nodes["listing"]
    store.remember(node, {"of": "that", "shares": []})
    at_hand(graph, store, lambda: connect(graph, store))
    assert store.recall(node).keys() == {"of", "shares", "audit"}


def test_a_corpus_of_nothing_but_failed_rows_has_findings(tmp_path, graph):
    for path in (tmp_path / "corpus").rglob("*.*g"):
        path.write_bytes(path.name.encode() + path.parent.name.encode())
    store = Store(tmp_path / "store")
    listed(graph, store)
    found = {one.check: one for one in at_hand(graph, store, lambda: connect(graph, store))}
    assert found["class balance"].figure == "25 real, 25 fake images in 50 files"
    assert found["failures by label"].figure.endswith(": 100 % of real, 100 % of fake")
    assert found["format"].figure == "0 real and 0 fake images: too few"
    assert {one.verdict for one in found.values()} == {"ok", "not judged"}
