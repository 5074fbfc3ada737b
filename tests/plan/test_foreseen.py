"""A plan of a corpus that lies elsewhere now foretells what a run then computes, node by node."""

import os
import shutil
import tarfile

import pyarrow as pa
import pytest

from pipeline.dag.graph import load
from pipeline.engine.progress import Reporter
from pipeline.engine.run import Options, run
from pipeline.plan.plan import plan
from pipeline.store.parts import Store
from tests.conftest import draw
from tests.helpers.cheap_stages import Cheap


@pytest.fixture
def opened(write_dag, fake_models, tmp_path):
    """`opened(override, …)`: the DAG with cheap stages."""
    path = write_dag(models=fake_models)
    return lambda *overrides: Cheap().dag(load(str(path), list(overrides)))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def ran(dag, store):
    run(dag, store, list(dag.nodes.values()), Options(inline=True), Reporter())


def rows(dag, store):
    """Rows by node, of texts how many there are of each part."""
    return {
        name: sum(int(store.facts(path)["rows_in"]) for path in store.parts(node))
        for name, node in dag.nodes.items()
    }


def foretold(dag, store):
    """The steps of a plan by node, once a run has computed as many rows as they say."""
    steps = {step.node: step for step in plan(dag, store)}
    before = rows(dag, store)
    ran(dag, store)
    done = {name: count - before[name] for name, count in rows(dag, store).items()}
    texts = done.pop("text_embeddings")
    assert (texts > 0) == (steps["text_embeddings"].images > 0)
    assert {name: steps[name].images for name in done} == done
    return steps


def root_of(folder):
    return f"corpus.root={folder}"


def test_a_root_that_was_renamed_costs_nothing(opened, corpus, store, tmp_path):
    ran(opened("corpus.limit=4"), store)
    ran(opened(), store)
    corpus.rename(tmp_path / "corp2")
    steps = foretold(opened(root_of(tmp_path / "corp2")), store)
    assert {step.images for name, step in steps.items() if name != "listing"} == {0}
    assert steps["captions"].reason == "complete"
    assert steps["listing"].reason == (
        f"root {corpus} -> {tmp_path / 'corp2'}; "
        "12 new files, 12 of them known by size and time of change"
    )
    assert f"(root {corpus} -> {tmp_path / 'corp2'})" in steps["listing"].basis


def test_a_copy_with_ten_new_files_costs_these(opened, corpus, store, tmp_path):
    ran(opened(), store)
    shutil.copytree(corpus, tmp_path / "corp2")  # with their times
    for number in range(10):
        draw(tmp_path / "corp2" / "test" / "gan" / "0_real" / f"new{number}.jpg", 700 + number)
    steps = foretold(opened(root_of(tmp_path / "corp2")), store)
    assert (steps["listing"].images, steps["captions"].images) == (22, 10)
    assert "22 new files, 12 of them known by" in steps["listing"].reason


def test_other_files_of_the_same_names_are_all_new(opened, corpus, store, tmp_path):
    ran(opened(), store)
    for number, path in enumerate(sorted(corpus.rglob("*.jpg"))):
        about = path.stat()
        other = draw(tmp_path / "corp2" / path.relative_to(corpus), 900 + number, size=64)
        assert other.stat().st_size != about.st_size
        os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))
    steps = foretold(opened(root_of(tmp_path / "corp2")), store)
    assert (steps["listing"].images, steps["captions"].images) == (12, 12)
    assert "known" not in steps["listing"].reason


def test_the_same_file_at_another_path_or_of_another_time_is_new(opened, corpus, store, tmp_path):
    ran(opened(), store)
    folder = shutil.copytree(corpus, tmp_path / "corp2") / "test" / "gan" / "0_real"
    (folder / "0.jpg").rename(folder / "other.jpg")
    os.utime(folder / "1.jpg", ns=(1, 1))
    shutil.copy2(folder / "2.jpg", folder / "again.jpg")  # one that is known stands for one
    listing, *_, features = plan(opened(root_of(tmp_path / "corp2")), store)
    assert (listing.images, features.images) == (13, 3)
    ran(opened("corpus.limit=1"), store)  # of the newest listing there is but one
    _, *_, features = plan(opened(root_of(tmp_path / "corp2")), store)
    assert features.images == 3


def test_what_archives_hold_is_known_where_these_lie_now(opened, corpus, store, tmp_path):
    for folder in sorted((corpus / "test").iterdir()):
        with tarfile.open(corpus / f"{folder.name}.tar", "w") as tar:
            tar.add(folder, f"test/{folder.name}")
    shutil.rmtree(corpus / "test")
    ran(opened(), store)
    corpus.rename(tmp_path / "corp2")
    steps = foretold(opened(root_of(tmp_path / "corp2")), store)
    assert (steps["listing"].images, steps["features"].images) == (12, 0)
    one = tmp_path / "corp2" / "gan.tar"
    ran(opened(root_of(one)), store)
    one.rename(tmp_path / "moved.tar")
    steps = foretold(opened(root_of(tmp_path / "moved.tar")), store)
    assert (steps["listing"].images, steps["features"].images) == (6, 0)


def test_what_a_table_names_is_known_where_the_table_lies_now(opened, corpus, store, tmp_path):
    names = [str(path.relative_to(corpus)) for path in sorted(corpus.rglob("*.jpg"))]
    lines = [f"{name},{int('1_fake' in name)}\n" for name in names]
    (corpus / "images.csv").write_text("path,label\n" + "".join(lines))
    ran(opened(root_of(corpus / "images.csv"), "corpus.layout=unlabelled"), store)
    corpus.rename(tmp_path / "corp2")
    root = root_of(tmp_path / "corp2" / "images.csv")
    steps = foretold(opened(root, "corpus.layout=unlabelled"), store)
    assert (steps["listing"].images, steps["features"].images) == (12, 0)


def test_names_that_are_not_utf_8_are_known_too(opened, corpus, store, tmp_path):
    folder = corpus / "test" / "gan" / "0_real"
    (folder / "0.jpg").rename(folder / os.fsdecode(b"caf\xe9.jpg"))
    ran(opened(), store)
    corpus.rename(tmp_path / "corp 2")
    steps = foretold(opened(root_of(tmp_path / "corp 2")), store)
    assert (steps["listing"].images, steps["features"].images) == (12, 0)


def test_files_without_a_time_of_change_are_new(opened, corpus, store, tmp_path):
    ran(opened(), store)
    node = opened().nodes["listing"]
    for path in store.parts(node):
        table = store.read(node.folder, path.name)
        place = table.schema.get_field_index("stamp")
        nulls = pa.nulls(len(table), pa.string())
        untold = table.set_column(place, table.schema.field(place), nulls)
        facts = {key: value for key, value in store.facts(path).items() if key != "sums"}
        store.write(node.folder, path.name, untold, facts)
    corpus.rename(tmp_path / "corp2")
    *_, features = plan(opened(root_of(tmp_path / "corp2")), store)
    assert features.images == 12
