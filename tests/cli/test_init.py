"""`item init FOLDER`: afterwards no command needs a flag."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.dag.graph import load, read
from pipeline.errors import UserError
from pipeline.setup import new_dag as room
from pipeline.setup.dag_text import BUNDLED, LARGE, SMALL, dag_text
from tests.conftest import draw, rows


def images(folder, count, seed):
    for number in range(count):
        draw(folder / f"{number:03d}.jpg", seed + number, 32)


@pytest.fixture
def corpus(tmp_path):
    """Splits, two generators; a name that YAML would take for something else."""
    root = tmp_path / "pics #2: 'ä' \"q\""
    for at, split in enumerate(("train", "test")):
        for g, generator in enumerate(("gan", "flow")):
            for label, name in enumerate(("0_real", "1_fake")):
                images(root / split / generator / name, 12, 1000 * at + 100 * g + 50 * label)
    return root


def test_plan_run_query_and_train_then_need_no_flags(corpus, item, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    done = item("init", corpus, cwd=here)
    assert done.returncode == 0, done.stderr
    (path,) = here.iterdir()
    assert path.suffix == ".yaml" and f"{path.name}: written. Next: `item plan`" in done.stdout
    assert "labels by the layout forensynths, of 96 image files" in done.stdout
    dag = load(str(path))
    assert dag.corpus.root == str(corpus) and dag.corpus.layout == "forensynths"
    raw = yaml.safe_load(path.read_text())
    raw["experiments"]["detector"] |= {
        "bootstrap": 40,
        "head": {"epochs": 2, "least_steps": 1},
    }  # quicker
    path.write_text(yaml.safe_dump(raw))
    assert item("plan", cwd=here).returncode == 0
    ran = item("run", "--inline", cwd=here)
    assert ran.returncode == 0, ran.stderr
    assert "detector: trained on" in ran.stdout and "gan (seen in training)" in ran.stdout
    answer = item("query", "select count(*) as n from features", "--format", "json", cwd=here)
    assert rows(answer) == [{"n": 96}]
    for words in (["status"], ["train"], ["train", "detector"], ["query", "by_generator"]):
        assert item(*words, cwd=here).returncode == 0


def test_what_is_wrong_is_said_of_the_path_that_was_given(corpus, item, tmp_path):
    lost = item("init", "nowhere", cwd=tmp_path)
    assert lost.returncode == 2 and lost.stderr.endswith("next:  correct the path\n")
    above = item("init", corpus.parent, "--layout", "genimage", cwd=tmp_path)
    assert above.returncode == 2 and "or choose another --layout" in above.stderr
    for label, name in enumerate(("0_real", "1_fake")):
        images(tmp_path / "up" / "top" / "progan" / name, 1, label)
    high = item("init", "up", "--layout", "forensynths", cwd=tmp_path)
    assert high.stderr.endswith(f"next:  give it {tmp_path / 'up' / 'top'}\n")


def test_the_file_has_everything_with_a_comment_and_absolute_paths(corpus, item, tmp_path):
    item("init", corpus, "--out", tmp_path / "x.yml", "--name", "mine", cwd=tmp_path)
    text = (tmp_path / "x.yml").read_text()
    draft = read(str(tmp_path / "x.yml"))
    assert draft.file.name == "mine"
    assert len(draft.nodes) == 8 and list(draft.file.experiments) == ["detector"]
    assert text.count("#") > 12 and "KNOW THE DEMO'S DRAWN SCENES AND NOTHING ELSE" in text
    assert max(map(len, text.splitlines())) <= 200  # (with the paths of this machine)
    moved = tmp_path / "elsewhere" / "x.yaml"
    moved.parent.mkdir()
    moved.write_text(text)
    same = [load(str(p)).nodes["features"].fingerprint for p in (moved, tmp_path / "x.yml")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("folders", "experiment", "expected"),
    [
        ({"a/x": 3}, None, "none: the corpus has no labels"),
        ({"real": 30}, None, "none: the corpus has images of one label only"),
        ({"real": 30, "fake": 30}, None, "none: 30 real and 30 fake images are too few"),
        ({"real": 80, "fake": 80}, {"train": "image_id < 'c'"}, "by a hash of the content"),
        (
            {"train/real": 25, "train/fake": 25, "val/real": 25, "val/fake": 25},
            {"train": "split = 'train'", "test": "split = 'val'"},
            "trained on the split train, tested on val",
        ),
        (
            {"real": 80, "sd15/fake": 80},
            {"reals": "label = 0 and image_id >= 'c'"},
            "by a hash of the content",
        ),
    ],
)
def test_an_experiment_is_what_the_labels_allow(item, tmp_path, folders, experiment, expected):
    root = tmp_path / "c"
    for seed, (name, count) in enumerate(folders.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):  # names are enough: no image is opened
            (root / name / f"{seed}-{number}.jpg").write_bytes(b"")
    done = item("init", root, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"experiment: {expected}" in done.stdout or expected in done.stdout
    raw = yaml.safe_load((tmp_path / "c.yaml").read_text())
    if experiment is None:
        assert "experiments" not in raw
    else:
        assert raw["experiments"]["detector"].items() >= experiment.items()
        read(str(tmp_path / "c.yaml"))


def test_labels_of_a_table_s_column_are_labels(item, tmp_path):
    cells = [{"bytes": draw(tmp_path / "a.jpg", n).read_bytes(), "path": None} for n in range(160)]
    table = pa.table({"image": cells, "label": ["real", "fake"] * 80})
    pq.write_table(table, tmp_path / "many.parquet")
    done = item("init", "many.parquet", cwd=tmp_path)
    assert done.returncode == 0 and "experiment: trained on three quarters" in done.stdout
    assert "labels as the source says them, of 160 image files" in done.stdout
    planned = item("plan", "many_parquet.yaml", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr


def test_models_are_of_the_machines_size(corpus, item, tmp_path, monkeypatch):
    for has in (False, True):
        monkeypatch.setattr("pipeline.models.precision._processor_has_bf16", lambda has=has: has)
        item("init", corpus, "--models", "public", "--out", tmp_path / f"{has}.yaml", cwd=tmp_path)
        text = (tmp_path / f"{has}.yaml").read_text()
        assert SMALL.captioner in text and "patches" in text and "cuda" not in text
        assert text.count("precision: bf16") == (2 if has else 0)
        assert read(str(tmp_path / f"{has}.yaml")).nodes["captions"][2].precision == (
            "bf16" if has else "fp32"
        )
    monkeypatch.setattr(room, "_public", lambda: (LARGE, "a GPU of 80 GB"))
    item("init", corpus, "--models", "public", "--out", tmp_path / "gpu.yaml", cwd=tmp_path)
    draft = read(str(tmp_path / "gpu.yaml"))
    _, _, regions = draft.nodes["regions"]
    assert regions.method == "owlv2" and regions.device == "cuda"
    assert "of a size for a GPU of 80 GB" in (tmp_path / "gpu.yaml").read_text()
    monkeypatch.setattr(room, "_all_here", lambda models: True)
    item("init", corpus, "--out", tmp_path / "auto.yaml", cwd=tmp_path)
    assert LARGE.captioner in (tmp_path / "auto.yaml").read_text()


def test_nothing_is_written_over_and_mistakes_are_told(corpus, item, tmp_path):
    assert item("init", corpus, "--out", "x.yaml", cwd=tmp_path).returncode == 0
    for words, what in (
        ([corpus, "--out", "x.yaml"], "there is a file of this name already"),
        ([corpus, "--out", "x.txt"], "a DAG file ends in .yaml"),
        ([tmp_path / "none"], "none"),
        ([corpus, "--layout", "forensynth"], "did you mean 'forensynths'"),
        ([corpus, "--layout", "regex"], "needs a pattern"),
        ([corpus, "--models", "publik"], "did you mean 'public'"),
        (
            [corpus, "--name", "a b"],
            "'a b' is no name of a DAG\n  where: --name\n  next:  give",
        ),
        ([corpus, "--name", ""], "'' is no name of a DAG"),
        ([corpus, "--out", "no/x.yaml"], "--out is in a folder that does not exist"),
    ):
        done = item("init", *words, cwd=tmp_path)
        assert done.returncode == 2 and what in done.stderr, (words, done.stderr)
    assert item("init", corpus, "--out", "x.yaml", "--force", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([corpus.name, "x.yaml"])


def test_no_node_but_the_images_own_has_what_others_refer_to(tmp_path):
    """Cut a node out, with all that needs it, and the file still reads."""
    for models in (BUNDLED, SMALL, LARGE):
        text = dag_text("x", str(tmp_path), "imagefolder", 8, models, "because", [])
        assert text.index("  image_embeddings:") < text.index("&clip") < text.index("  regions:")
        assert text.count("&clip") == 1
        assert text.count("*clip") == (2 if models.detector else 3)
        raw = yaml.safe_load(text[: text.index("  # where each object is")])
        assert list(raw["nodes"]) == ["captions", "objects", "image_embeddings"]


def test_a_second_dag_in_the_folder_is_named_in_what_comes_next(corpus, item, tmp_path):
    item("init", corpus, "--out", "x.yaml", cwd=tmp_path)
    done = item("init", corpus, "--out", "y.yaml", cwd=tmp_path)
    assert "Next: `item plan y.yaml`, `item run y.yaml`" in done.stdout


def test_the_home_folder_is_meant_by_a_quoted_tilde(corpus, item, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert item("init", corpus, "--out", "~/x.yaml", cwd=corpus).returncode == 0
    planned = item("plan", "~/x.yaml", "--store", tmp_path / "s", "--only", "images", cwd=corpus)
    assert planned.returncode == 0 and (tmp_path / "x.yaml").is_file(), planned.stderr


def test_a_name_that_no_file_holds(tmp_path):
    with pytest.raises(UserError, match="no text that a file holds"):
        room.new_dag(f"{tmp_path}/caf\udce9", None, "auto", "bundled")


def test_json(corpus, item, tmp_path):
    done = item("init", corpus, "--out", "x.yaml", "--json", cwd=tmp_path)
    facts = json.loads(done.stdout)["facts"]
    assert facts == {
        "path": str(tmp_path / "x.yaml"),
        "layout": "forensynths",
        "models": "bundled",
        "experiment": "detector",
    }
