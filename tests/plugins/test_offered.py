"""What is wrong with a plugin is a line that names it; and packages offer what files do."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import yaml

from pipeline import tables
from pipeline.dag.experiment import Experiment
from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.head.methods.baselines import Side, plugged
from pipeline.head.vectors.matrices import plugged_feature
from pipeline.head.vectors.parts import Part
from pipeline.head.vectors.row_reader import InMemory
from pipeline.plugins import offered
from pipeline.plugins.kinds import Baseline, Feature
from pipeline.shipped import folder
from tests.conftest import draw

HEAD = "import pyarrow as pa\nimport pipeline as item\n"
RUN = """
def run(inputs, parameters, models):
    ids = inputs["images"]["image_id"]
    return item.table("{table}", {{"image_id": ids, "size": inputs["images"]["bytes"]}})
"""
STAGE = """
STAGE = item.Stage("{name}", 1, ("images",), "{table}", item.Parameters, run,
                   columns={{"size": pa.int64()}})
"""


@pytest.fixture(autouse=True)
def each_alone(monkeypatch):
    """What a test's plugins offer is not there in the next."""
    monkeypatch.setattr(offered, "_known", {})
    monkeypatch.setattr(tables, "COLUMNS", tables.COLUMNS)
    before = dict(tables.COLUMNS)
    yield
    tables.COLUMNS.clear()
    tables.COLUMNS.update(before)


@pytest.fixture
def lab(tmp_path):
    """Writes a DAG of one node over three images; `plugin` is the text of its only plugin."""

    def write(plugin: str, name: str = "mine.py", **raw):
        for i in range(3):
            draw(tmp_path / "photos" / f"{i}.jpg", i)
        (tmp_path / name).write_text(HEAD + plugin)
        nodes = {"sizes": {"stage": "sizes", "images": "images"}}
        raw = {"name": "lab", "plugins": [f"./{name}"], "corpus": {"root": "photos"}} | raw
        path = tmp_path / "lab.yaml"
        path.write_text(yaml.safe_dump({"nodes": nodes} | raw))
        return path

    return write


def sizes(name="sizes", table="sizes"):
    return RUN.format(table=table) + STAGE.format(name=name, table=table)


def refused(path, *overrides) -> UserError:
    with pytest.raises(UserError) as caught:
        load(str(path), list(overrides))
    return caught.value


def test_a_stage_makes_a_table_with_a_view(lab, item, tmp_path):
    path = lab(sizes())
    done = item("run", path, "--inline", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sql = "select min(s.size = i.bytes), count(*) from sizes s join images i using (image_id)"
    asked = item("query", path, sql, "--format", "csv", cwd=tmp_path)
    assert asked.stdout.splitlines()[1:] == ["True,3"]
    assert "1 node, of plugins: stage sizes" in item("doctor", path, cwd=tmp_path).stdout
    verified = item("verify", path, cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("x = 1", ("the plugin offers nothing", "mine.py", "STAGE, CAPTIONER")),
        ("def f(:", ("cannot be loaded: SyntaxError", "mine.py:3")),
        ("\n\n1 / 0", ("cannot be loaded: ZeroDivisionError", "mine.py:5")),
        ("STAGE = 3", ("STAGE is a int, not a Stage", "item.Stage(name=…)")),
        (sizes("caption"), ("item has a stage 'caption' itself", "rename")),
        (sizes(table="captions"), ("'captions' is a table of item's own",)),
        (sizes(table="My Table"), ("'My Table' is no name of a table",)),
        (sizes().replace("pa.int64()", "pa.date32()"), ("'size' is", "one of string, bool")),
        (sizes().replace('"size": pa', '"error": pa'), ("'error' is there in every table",)),
        (sizes().replace('("images",)', '("pictures",)'), ("no table 'pictures'", "did you mean")),
        (
            'FEATURE = item.Feature("f", {"objects": ["phrase"]}, print)',
            ("FEATURE.reads: there is no table with a row an image 'objects'",),
        ),
        (
            'BASELINE = item.Baseline("b", ("globe",), print)',
            ("BASELINE.reads: there is no feature 'globe'", "global"),
        ),
        (
            'LAYOUT = item.Layout("imagefolder", "x", print)',
            ("item has a layout 'imagefolder' itself",),
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(lab, plugin, words):
    error = refused(lab(plugin))
    assert all(word in str(error) for word in words), str(error)
    assert "mine.py" in str(error)


def test_a_file_that_is_not_there_and_a_list_that_is_none(lab):
    assert "No such file" in refused(lab(sizes(), plugins=["./absent.py"])).what
    assert "list of Python files" in refused(lab(sizes(), plugins={"a": 1})).what
    assert "no stage 'sizes'" in refused(lab(sizes(), plugins=[])).what


def test_one_path_is_a_list_of_one_and_overrides_are_relative_to_this_folder(
    lab, tmp_path, monkeypatch
):
    path = lab(sizes(), plugins="mine.py")
    before = load(str(path)).nodes["sizes"].fingerprint
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.py").write_text((tmp_path / "mine.py").read_text())
    monkeypatch.chdir(tmp_path / "here")
    path = lab(sizes(), plugins=[])
    for given in ("plugins=./mine.py", "plugins=[./mine.py]"):
        assert load(str(path), [given]).nodes["sizes"].fingerprint == before  # of its text alone


def test_a_dag_knows_its_own_plugins_and_not_another_s(lab, tmp_path):
    assert "sizes" in load(str(lab(sizes()))).nodes
    assert "no stage 'sizes'" in refused(lab(sizes(), plugins=[])).what


def test_the_same_name_with_another_text_needs_another_process(lab, tmp_path):
    load(str(lab(sizes())))
    error = refused(lab(sizes() + "# more", name="other.py"))
    assert "two plugins offer a stage 'sizes'" in error.what and "other.py" in error.where
    before = load(str(lab(sizes()))).nodes["sizes"].fingerprint
    assert load(str(lab(sizes() + "# more"))).nodes["sizes"].fingerprint != before  # the same file


def test_an_image_on_which_it_raises_is_a_failed_row_and_a_bug_fails_the_node(lab, item, tmp_path):
    odd = sizes().replace(
        "    ids =",
        "    if len(inputs['images']) and '1.jpg' in str(inputs['images']['uri'].to_pylist()):\n"
        "        raise ValueError('odd')\n    ids =",
    )
    path = lab(odd)
    done = item("run", path, "--inline", cwd=tmp_path)
    sql = "select count(*), count(error), max(error) from sizes"
    asked = item("query", path, sql, "--format", "csv", cwd=tmp_path)
    assert asked.stdout.splitlines()[1:] == ["3,1,ValueError: odd"], done.stderr
    path = lab(sizes().replace('["bytes"]', '["bites"]'))
    done = item("run", path, "--inline", cwd=tmp_path)
    assert done.returncode != 0 and "bites" in done.stderr and "Traceback" not in done.stderr
    assert "mine.py:" in done.stderr and "0 of 1 parts done; why is said above" in done.stderr


def test_what_fails_together_and_not_alone_is_said(lab, item, tmp_path, caplog):
    odd = sizes().replace(
        "    ids =",
        "    if len(inputs['images']) > 1:\n        raise ValueError('many')\n    ids =",
    )
    done = item("run", lab(odd), "--inline", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = "sizes failed on 3 images together, and on fewer not: ValueError: many"
    assert said in caplog.text


def test_an_image_that_kills_it_is_found_in_processes_that_know_the_plugin(
    lab, item, item_process, tmp_path
):
    deadly = sizes().replace(
        "    ids =",
        "    if '1.jpg' in str(inputs['images']['uri'].to_pylist()):\n"
        "        import os; os._exit(9)\n    ids =",
    )
    path = lab(deadly)
    done = item_process("run", path, "--workers", "1", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    sql = "select count(*), count(error), count(size) from sizes"
    asked = item("query", path, sql, "--format", "csv", cwd=tmp_path)
    assert asked.stdout.splitlines()[1:] == ["3,1,2"], done.stderr


def test_a_worker_with_another_text_computes_nothing(lab, tmp_path):
    from pipeline.engine.task import Task, execute

    node = load(str(lab(sizes()))).nodes["sizes"]
    (tmp_path / "mine.py").write_text(HEAD + sizes() + "# changed since")
    with pytest.raises(UserError, match="the stages of sizes are not the same") as caught:
        execute(Task(tmp_path / "store", (node,), "part-00000-0.parquet"))
    assert "a plugin that was changed" in caught.value.hint


ELSEWHERE = """
import os
import pipeline as item
if __name__ == "__main__":
    dag = item.Dag.load("lab.yaml")
    item.run(dag, until="images", inline=True)
    os.rename("mine.py", "elsewhere.py")
    try:
        item.run(dag, workers=1)
    except item.UserError as error:
        print(error)
"""


def test_what_the_workers_do_not_have_is_named(lab, tmp_path):
    lab(sizes())
    (tmp_path / "run.py").write_text(ELSEWHERE)
    environment = os.environ | {"PYTHONPATH": str(folder("dags").parent), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "cannot read the tasks that this run sends" in done.stdout, done.stderr
    assert str(tmp_path / "mine.py") in done.stdout and "Traceback" not in done.stderr


CAPTIONER = """
def load():
    {first}
    return lambda images, generation: {said}
CAPTIONER = item.Captioner("mine", load)
"""


@pytest.mark.parametrize(
    ("first", "said", "words"),
    [
        ("pass", "['a cat'] * (len(images) + 1)", "captions of"),
        ("pass", "[None for _ in images]", "no texts"),
        ("raise OSError('no weights')", "[]", "the captioner 'mine' could not be loaded"),
    ],
)
def test_what_a_captioner_must_not_do(lab, item, tmp_path, first, said, words):
    nodes = {"captions": {"stage": "caption", "images": "images", "model": "plugin:mine"}}
    path = lab(CAPTIONER.format(first=first, said=said), nodes=nodes)
    done = item("run", path, "--inline", cwd=tmp_path)
    assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr


def test_a_captioner_of_nobody_is_named(lab):
    nodes = {"captions": {"stage": "caption", "images": "images", "model": "plugin:yours"}}
    said = refused(lab(CAPTIONER.format(first="pass", said="[]"), nodes=nodes))
    assert "no plugin offers a captioner 'yours'" in said.what and "mine" in said.hint


@pytest.mark.parametrize(
    ("labels", "words"),
    [("item.Labels(2)", "are no Labels"), ("folders[9]", "IndexError"), ("None", "are no Labels")],
)
def test_what_a_layout_must_not_say(lab, item, tmp_path, labels, words):
    layout = f'LAYOUT = item.Layout("mine", "any folders", lambda folders: {labels})\n'
    path = lab(sizes() + layout, corpus={"root": "photos", "layout": "mine"})
    done = item("plan", path, cwd=tmp_path)
    assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda rows: np.ones((2, 3)), "a matrix of (2, 3), and there are 3 images"),
        (lambda rows: np.ones(3), "a matrix of (3,), and there are 3 images"),
        (lambda rows: np.full((3, 1), np.nan), "not finite"),
        (lambda rows: rows["captions"], "the feature 'mine' failed: KeyError"),
    ],
)
def test_what_a_feature_must_not_give(made, words):
    class Three(Part):
        def one(self, table, columns):
            return pa.table({name: [1, 2, 3] for name in columns})

    part = Three("part", pa.array(["a", "b", "c"]), np.arange(3), {})
    with pytest.raises(UserError) as caught:
        plugged_feature(part, Feature("mine", {"images": ["bytes"]}, made))
    assert words in caught.value.what


def side(x, y=(0, 1, 0, 1)):
    return Side(InMemory(np.float32(x)), np.int8(y))


def test_a_baseline_gets_the_rows_and_gives_probabilities():
    seen = []

    def fit(x, y, held_x, held_y, seed):
        seen.append((x.tolist(), y.tolist(), held_x.tolist(), held_y.tolist(), seed))
        return lambda rows: rows[:, 0] / 10

    train, held = side([[1], [2], [3], [4]]), side([[5], [6], [7], [8]], (1, 1, 0, 0))
    experiment = Experiment(train="true", seed=7)
    tuned = plugged(Baseline("mine", ("global",), fit))(train, held, experiment)
    assert seen == [([[1], [2], [3], [4]], [0, 1, 0, 1], [[5], [6], [7], [8]], [1, 1, 0, 0], 7)]
    assert tuned.predict(held.rows).tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8])


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (lambda rows: rows[:, 0], "ValueError: not 4 probabilities"),
        (lambda rows: np.ones(3), "ValueError: not 4 probabilities"),
        (lambda rows: np.full(4, np.nan), "ValueError: not 4 probabilities"),
        (lambda rows: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_a_baseline_must_not_give(predict, words):
    train = side([[1], [2], [3], [4]])
    own = Baseline("mine", ("global",), lambda *given: predict)
    tuned = plugged(own)(train, train, Experiment(train="true"))
    with pytest.raises(UserError) as caught:
        tuned.predict(train.rows)
    assert f"the baseline 'mine' failed: {words}" in caught.value.what
    assert caught.value.hint == "mend it, or leave it out"


def test_a_baseline_is_for_rows_in_memory():
    class Streamed:
        order, width = np.arange(4), 1

    own = Baseline("mine", ("global",), lambda *given: None)
    with pytest.raises(UserError, match="'mine' needs all its rows in memory"):
        plugged(own)(Side(Streamed(), np.int8([0, 1, 0, 1])), side([[1]] * 4), None)


@pytest.fixture
def package(tmp_path):
    """An environment in which a package is installed that offers the stage by an entry point."""
    site = tmp_path / "site"
    about = site / "sizes_package-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sizes-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[item.stage]\nsizes = sizes_package:STAGE\n")
    (site / "sizes_package.py").write_text(HEAD + sizes())
    place = os.pathsep.join([str(folder("dags").parent), str(site)])
    return site, os.environ | {"PYTHONPATH": place, "PYTHONSAFEPATH": "1"}


def test_a_package_offers_the_same_by_an_entry_point(lab, package, tmp_path):
    site, environment = package
    path = lab(sizes(), plugins=[])

    def asked(*words: object) -> str:
        command = [sys.executable, "-m", "pipeline", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    asked("run", path, "--workers", "1")
    sql = "select count(size) from sizes"
    assert asked("query", path, sql, "--format", "csv").split()[1] == "3"
    (site / "sizes_package.py").write_text(HEAD + sizes() + "# another")
    assert "the plugin's source" in asked("plan", path)
