"""`--set`: texts and paths as they were typed, all else as YAML, paths from the current folder."""

from pathlib import Path

import pytest
import yaml

from pipeline.dag.file import read
from pipeline.dag.graph import read as read_dag
from pipeline.errors import UserError

ODD = [
    "pics #2",
    "a: b",
    "'quoted'",
    "2024",
    "null x",
    "[list",
    "{map",
    "- a",
    "yes",
    "0x1F",
    "ä\t%",
]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A DAG file in a folder of its own, read from another one."""
    raw = {
        "name": "x",
        "corpus": {"root": "pics", "layout": "unlabelled"},
        "nodes": {
            "captions": {"stage": "provided", "images": "images", "file": "c.csv", "key": "path"},
            "objects": {"stage": "parse", "captions": "captions", "model": "en_core_web_sm"},
            "vectors": {
                "stage": "provided",
                "table": "image_embeddings",
                "images": "images",
                "file": "v.npz",
                "by": "path",
            },
            "image_embeddings": {
                "stage": "embed_images",
                "images": "images",
                "clip": {"model": "ViT-B-32", "pretrained": "openai"},
            },
        },
        "experiments": {"e": {"train": "label = 0"}},
    }
    (tmp_path / "dag").mkdir()
    (tmp_path / "here").mkdir()
    path = tmp_path / "dag" / "x.yaml"
    path.write_text(yaml.safe_dump(raw))
    monkeypatch.chdir(tmp_path / "here")
    return path


@pytest.mark.parametrize("text", ODD)
def test_texts_and_paths_are_taken_as_they_are(file, text):
    given = [f"corpus.root={text}", f"corpus.dataset={text}", f"experiments.e.train={text}"]
    given += [f"captions.caption={text}", f"image_embeddings.clip.pretrained={text}"]
    given += [f"experiments.e.reals={text}", f"lock={text}"]
    found = read(file, given)
    assert found.corpus.root == found.lock == str(Path.cwd() / text)
    assert found.corpus.dataset == text
    assert (found.experiments["e"].train, found.experiments["e"].reals) == (text.strip(),) * 2
    assert found.nodes["captions"]["caption"] == text
    assert found.nodes["image_embeddings"]["clip"]["pretrained"] == text


def test_null_is_none_where_there_may_be_none(file):
    found = read(file, ["corpus.dataset=null", "lock=null", "experiments.e.validation=null"])
    assert (found.corpus.dataset, found.lock) == (None, None)
    assert found.experiments["e"].validation is None
    assert read(file, ["corpus.root=null"]).corpus.root == str(Path.cwd() / "null")


def test_all_else_is_yaml(file):
    given = ["corpus.part_size=7", "experiments.e.seed=[0, 1]", "max_failed_share=0.5"]
    given += ["experiments.e.head={hidden: [8]}", "corpus.variants={test: [jpeg_50]}"]
    given += ["experiments.e.reals={gan: 'label = 0'}", "experiments.e.partial=true"]
    found = read(file, given)
    one = found.experiments["e"]
    assert (found.corpus.part_size, found.max_failed_share) == (7, 0.5)
    assert one.sweep == {"seed": (0, 1)} and one.head.hidden == (8,) and one.partial
    assert one.reals == {"gan": "label = 0"}
    assert found.corpus.variants == {"test": ("jpeg_50",)}


PATHS = {
    "captions.file=d.csv": ("captions", "file", "d.csv"),
    "captions.root=pics": ("captions", "root", "pics"),
    "captions={stage: provided, images: images, file: d.csv, key: path}": (
        "captions",
        "file",
        "d.csv",
    ),
    "vectors.file=#w.npz": ("vectors", "file", "#w.npz"),
    "objects.model=./parser": ("objects", "model", "parser"),
    "image_embeddings.clip={model: 'local-dir:clip'}": ("image_embeddings", "clip", "clip"),
}


@pytest.mark.parametrize("override", PATHS)
def test_typed_paths_are_relative_to_the_current_folder(file, override):
    node, key, name = PATHS[override]
    _, _, parameters = read_dag(str(file), [override]).nodes[node]
    value = getattr(parameters, key)
    value = getattr(value, "model", value).removeprefix("local-dir:")
    assert value == str(Path.cwd() / name)


def test_paths_of_other_sections_too(file):
    given = ["corpus={root: others}", "experiments.e.foreign.UnivFD=w.pth"]
    given += ["experiments.e.features=[image]", "cluster={kind: ssh, hosts: [a], folder: shared}"]
    found = read(file, given)
    assert found.corpus.root == str(Path.cwd() / "others")
    assert found.cluster.folder == str(Path.cwd() / "shared")
    assert found.experiments["e"].foreign == {"UnivFD": str(Path.cwd() / "w.pth")}
    home = read(file, ["corpus.root=~/x", "lock=/a/b.lock"])
    assert (home.corpus.root, home.lock) == (str(Path.home() / "x"), "/a/b.lock")
    assert read(file, ["corpus.root=s3://b/c #1"]).corpus.root == "s3://b/c #1"


def test_paths_in_the_file_stay_relative_to_it(file):
    draft = read_dag(str(file))
    assert draft.nodes["captions"][2].file == str(file.parent / "c.csv")
    assert draft.file.corpus.root == str(file.parent / "pics")


def test_a_hub_name_is_no_path(file):
    _, _, parameters = read_dag(str(file), ["objects.model=lab/parser"]).nodes["objects"]
    assert parameters.model == "lab/parser"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objects.modle=x", "unknown key 'modle'"),
        ("corpus.root.x=1", "'root' is a value"),
        ("nodes=x", "there is no ''"),
        ("captions.several={a", "captions"),
        ("cluster.kind=slrm", "did you mean 'slurm'"),
    ],
)
def test_mistakes_are_told(file, override, message):
    with pytest.raises(UserError) as caught:
        read_dag(str(file), [override])
    assert message in f"{caught.value}"
