import pyarrow as pa
import pytest

from pipeline.dag.graph import fingerprinted, load, read
from pipeline.engine import machine
from pipeline.engine.progress import Reporter
from pipeline.plan import estimate
from pipeline.plan.estimate import Rate
from pipeline.plan.plan import plan
from pipeline.store.parts import Store, part_name
from tests.helpers import pixels


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "store")
    found.create()
    return found


@pytest.fixture
def dag(write_dag, fake_models):
    return lambda *overrides: load(str(write_dag(models=fake_models)), list(overrides))


def put(store, node, number, images, seconds, host="here", rows=None, **used):
    """A part of a node with these statistics; its `rows` are texts where images are not."""
    store.open_node(node, "small")
    facts = {"rows_in": rows or images, "rows_ok": images, "rows_failed": 0, "host": host}
    facts |= {"seconds_read": 0.0, "seconds_infer": seconds, **used}
    keys = [f"{number}-{i}" for i in range(images)]
    store.write(node.folder, part_name(number, keys), pa.table({"image_id": keys}), facts)


def steps(graph, store, **options):
    return {step.node: step for step in plan(graph, store, **options)}


def test_nothing_measured_is_unknown_never_a_guess(dag, store):
    found = steps(dag(), store)
    assert found["captions"].images == 12
    assert found["captions"].seconds is None and found["captions"].bytes is None
    assert "nothing measured" in found["captions"].basis


def test_the_nodes_own_parts_come_first(dag, store, monkeypatch):
    monkeypatch.setattr(estimate.socket, "gethostname", lambda: "here")
    graph = dag()
    put(store, graph.nodes["captions"], 0, 10, seconds=5.0)
    rate = estimate.measured(store, graph.nodes["captions"])
    assert rate.seconds == pytest.approx(0.5, rel=0.05)
    assert rate.images == 10 and rate.basis == "this node's parts"
    assert rate.bytes > 0


def test_one_slow_first_part_does_not_decide(dag, store):
    graph = dag()
    for number, seconds in enumerate((90.0, 5.0, 5.0)):
        put(store, graph.nodes["captions"], number, 10, seconds)
    assert estimate.measured(store, graph.nodes["captions"]).seconds == pytest.approx(0.5, rel=0.05)


def test_else_the_same_stage_and_model_and_it_says_what_differs(dag, store):
    put(store, dag("captions.num_beams=1").nodes["captions"], 0, 10, 2.0, host="gpu-box")
    rate = estimate.measured(store, dag().nodes["captions"])
    assert rate.seconds == pytest.approx(0.2, rel=0.05)
    assert rate.basis == "parts of the same stage and model (num_beams 1 -> 3), on gpu-box"


def test_it_says_on_which_device_it_was_measured(dag, store):
    graph = dag()
    put(store, graph.nodes["captions"], 0, 10, 2.0, "gpu-box", device="cuda", precision="bf16")
    rate = estimate.measured(store, graph.nodes["captions"])
    assert rate.basis == "this node's parts, on cuda bf16 of gpu-box"


def test_another_model_is_no_measure(dag, store, fake_models):
    put(store, dag().nodes["captions"], 0, 10, 2.0)
    (fake_models / "captioner" / "weights.txt").write_text("another")
    assert estimate.measured(store, dag().nodes["captions"]) is None


def test_texts_are_counted_by_their_images(dag, store):
    graph = dag()
    put(store, graph.nodes["text_embeddings"], 0, 10, seconds=5.0, rows=40)
    assert estimate.measured(store, graph.nodes["text_embeddings"]) is None
    put(store, graph.nodes["images"], 0, 10, seconds=0.0)
    rate = estimate.measured(store, graph.nodes["text_embeddings"])
    assert rate.images == 10 and rate.seconds == pytest.approx(0.5, rel=0.05)


def test_workers_share_the_time_not_the_bytes(dag, store):
    rates = {"captions": Rate(2.0, 100.0, 64, "calibrated")}
    one = steps(dag(), store, calibrated=rates)["captions"]
    four = steps(dag(), store, workers=4, calibrated=rates)["captions"]
    assert (one.seconds, one.bytes, one.basis) == (24.0, 1200, "calibrated")
    assert (four.seconds, four.bytes) == (8.0, 1200)  # there are three parts
    two = steps(dag(), store, workers=2, calibrated=rates)["captions"]
    assert two.seconds == 16.0  # one of them has two parts
    assert steps(dag(), store, calibrated=rates)["objects"].seconds is None


def test_calibration_runs_every_node_in_a_store_of_its_own(corpus, store, tmp_path, capfd):
    path = pixels.write_dag(tmp_path / "few.yaml", corpus)
    draft = read(str(path), ["corpus.limit=8", "image_embeddings.seconds=0.01"])
    graph = fingerprinted(draft)
    with Reporter() as reporter:
        rates = estimate.calibrate(graph, draft, reporter, workers=1, images=6)
    assert "measuring on at most 8 images, with 1 worker" in capfd.readouterr().err
    assert set(rates) == set(graph.nodes)
    assert all(rate.images == 2 for rate in rates.values())  # the second part alone
    rate = rates["image_embeddings"]
    assert rate.seconds > 0.01 and rate.bytes > 0
    assert rate.basis == "calibrated with 1 worker, warm"
    found = steps(graph, store, calibrated=rates)["image_embeddings"]
    assert found.seconds == pytest.approx(8 * rate.seconds, abs=0.01)
    assert not list(store.root.glob("pixels*"))


@pytest.mark.parametrize(
    ("images", "measured", "how"), [(3, 6, "warm"), (12, 12, "on the first images of each")]
)
def test_calibration_has_the_workers_of_a_run_at_the_same_time(
    corpus, tmp_path, monkeypatch, capfd, images, measured, how
):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    path = pixels.write_dag(tmp_path / "slow.yaml", corpus, seconds=0.1)
    draft = read(str(path))
    with Reporter() as reporter:
        rates = estimate.calibrate(fingerprinted(draft), draft, reporter, 9, images)
    rate = rates["image_embeddings"]
    assert rate.images == measured  # of 12: the later two of four parts, or all of the only one
    assert rate.seconds > 0.1  # of one worker: a plan shares it among them
    assert rate.basis == f"calibrated with 2 workers at once, {how}"
    said = capfd.readouterr().err
    assert f"measuring on at most {4 * images} images, with 2 workers at once" in said
    assert "the corpus has changed" not in said  # that of the plan has not


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "unknown"),
        (0.44, "0.4 s"),
        (119, "119.0 s"),
        (600, "10 min"),
        (9000, "2.5 h"),
        (259200, "3.0 days"),
    ],
)
def test_durations_for_people(seconds, said):
    assert estimate.duration(seconds) == said
