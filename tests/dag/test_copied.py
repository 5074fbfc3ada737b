"""A copy of a shipped DAG elsewhere: what its relative paths look for, and where, is said."""

import pytest

from pipeline.dag.graph import load, read
from pipeline.engine.queues import index
from pipeline.errors import UserError
from pipeline.shipped import folder
from pipeline.store.parts import Store

MODELS = folder("data").resolve() / "demo" / "models"
SWAPS = {
    "captions": ("model: ../data/demo/models/captioner", "captioner"),
    "objects": ("model: ../data/demo/models/parser", "parser"),
    "regions": ("local-dir:../data/demo/models/clip", "clip"),
}


@pytest.fixture
def copy(tmp_path):
    """The demo's file in another folder, with one model's path given, the others put right."""

    def write(node, value):
        text = (folder("dags") / "demo.yaml").read_text()
        for name, (line, model) in SWAPS.items():
            start = line.removesuffix(line.split("../")[1]).removesuffix("../")
            text = text.replace(line, value if name == node else f"{start}{MODELS / model}")
        path = tmp_path / "sub" / "copy.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("node", SWAPS)
@pytest.mark.parametrize("as_written", ["../data/demo/models/", "./item/data/demo/models/"])
def test_a_folder_that_is_not_there_is_named_with_the_one_that_is(copy, tmp_path, node, as_written):
    line, model = SWAPS[node]
    start = line.partition("../")[0]
    dag = copy(node, f"{start}{as_written}{model}")
    with pytest.raises(UserError, match="there is no such model folder") as caught:
        load(dag)
    looked_for = (tmp_path / "sub" / as_written / model).resolve()
    assert f"({looked_for} (" in caught.value.where
    assert f"the bundled one is {MODELS / model}" in caught.value.hint


@pytest.mark.parametrize("node", ["captions", "objects"])
@pytest.mark.parametrize("name", ["item/data/demo/models/{}", "data/demo/models/{}", "a/b/c"])
def test_a_path_without_a_dot_is_no_name_on_the_hub(copy, tmp_path, node, name):
    model = SWAPS[node][1]
    dag = copy(node, f"model: {name.format(model)}")
    with pytest.raises(UserError, match="this is no name on the Hugging Face hub") as caught:
        read(dag)
    said = str(caught.value)
    assert f"looked for at {tmp_path / 'sub' / name.format(model)}" in said
    assert f"nodes.{node}" in said
    assert (f"the bundled one is {MODELS / model}" in said) is ("demo" in name)


def test_a_folder_that_is_called_like_a_hub_name_is_asked_about(copy, tmp_path):
    dag = copy("captions", "model: lab/captioner")
    assert read(dag).nodes["captions"][2].model == "lab/captioner"
    (tmp_path / "sub" / "lab" / "captioner").mkdir(parents=True)
    with pytest.raises(UserError, match=r"write \./lab/captioner for it, or hf-hub:lab/capt"):
        read(dag)
    assert read(copy("captions", "model: hf-hub:lab/captioner"))
    assert read(copy("captions", "model: ./lab/captioner"))


def test_a_root_that_is_not_there_names_the_bundled_one(copy, tmp_path):
    dag = load(copy(None, ""))
    with pytest.raises(UserError, match="there is no such folder") as caught:
        index.find(dag, Store(tmp_path / "store"))
    assert f"the bundled one is {folder('data').resolve() / 'demo' / 'corpus'}" in caught.value.hint
