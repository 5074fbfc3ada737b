"""`item models fetch` against a hub of our own; then everything without it."""

import json
import os

import pytest
import yaml

from tests.conftest import DEMO_MODELS, make_corpus, make_dag
from tests.hub import FakeHub, files_of

CAPTIONER, CLIP = "lab/tiny-blip", "lab/tiny-clip"


@pytest.fixture(scope="module")
def hub():
    """The bundled captioner and CLIP as a hub has them: with copies that nobody needs."""
    hub = FakeHub()
    junk = {"pytorch_model.bin": b"old", "flax_model.msgpack": b"f", "tf_model.h5": b"t"}
    junk |= {
        "onnx/model.onnx": b"o",
        "modeling_tiny.py": b"raise SystemExit",
        ".gitattributes": b"",
    }
    hub.commit(CAPTIONER, files_of(DEMO_MODELS / "captioner") | junk, licence="bsd-3-clause")
    hub.commit(CLIP, files_of(DEMO_MODELS / "clip") | {"open_clip_pytorch_model.bin": b"old"})
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, hub, item):
    """A folder with a corpus, a DAG over hub models, and the command in that environment."""
    folder = tmp_path_factory.mktemp("lab")
    dag = make_dag(folder / "small.yaml", make_corpus(folder / "corpus"))
    raw = yaml.safe_load(dag.read_text())
    raw["nodes"]["captions"]["model"] = CAPTIONER
    for node in raw["nodes"].values():
        if "clip" in node:
            node["clip"] = {"model": f"hf-hub:{CLIP}"}
    dag.write_text(yaml.safe_dump(raw, sort_keys=False))
    base = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}

    def run(*arguments, offline=False, endpoint=hub.url, home="home"):
        env = {**base, "HF_HOME": str(folder / home), "HF_ENDPOINT": endpoint}
        env |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        return item(*arguments, cwd=folder, env=env)

    return folder, dag, run


@pytest.fixture(scope="module")
def fetched(lab):
    folder, dag, run = lab
    answer = run("models", "fetch", dag, "--json")
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return json.loads(answer.stdout), folder, dag, run


def fingerprints(run, dag, *options, **environment):
    answer = run("plan", dag, "--json", *options, **environment)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return {step["node"]: step["fingerprint"] for step in json.loads(answer.stdout)}


def test_each_model_is_described_and_locked(fetched, hub):
    found, folder, _, _ = fetched
    models = {model["name"]: model for model in found["models"]}
    blip, clip = models[CAPTIONER], models[CLIP]
    assert blip["state"] == clip["state"] == "fetched"
    assert blip["licence"] == "bsd-3-clause" and clip["licence"] == "not stated"
    assert blip["revision"] == next(iter(hub.commits[CAPTIONER]))
    assert blip["nodes"] == ["captions"] and "image_embeddings" in clip["nodes"]
    wanted = "config.json generation_config.json model.safetensors processor_config.json"
    wanted = {*wanted.split(), "tokenizer.json", "tokenizer_config.json"}
    sizes = {name: len(data) for name, data in files_of(DEMO_MODELS / "captioner").items()}
    assert blip["size"] == blip["downloaded"] == sum(sizes[name] for name in wanted)
    assert found["lock"] == str(folder / "small.lock")
    lock = yaml.safe_load((folder / "small.lock").read_text())
    assert lock["models"][CAPTIONER]["files"] == {name: sizes[name] for name in wanted}
    assert lock["models"][CLIP]["revision"] == clip["revision"]


def test_only_what_the_loader_reads_is_downloaded(fetched, hub):
    got = {name.rpartition("/")[2] for name in hub.downloads if name.startswith(CAPTIONER)}
    assert "model.safetensors" in got
    assert not {name for name in got if name.endswith((".bin", ".h5", ".py", ".onnx", ".md"))}
    assert f"{CLIP}/open_clip_model.safetensors" in hub.downloads
    assert f"{CLIP}/open_clip_pytorch_model.bin" not in hub.downloads


def test_a_second_time_downloads_and_changes_nothing(fetched, hub):
    _, folder, dag, run = fetched
    before, asked = (folder / "small.lock").read_bytes(), len(hub.requests)
    answer = run("models", "fetch", dag)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    assert "present" in answer.stdout and "bsd-3-clause" in answer.stdout
    assert len(hub.requests) == asked
    assert (folder / "small.lock").read_bytes() == before
