import json
import shutil

import pytest

from pipeline.setup.doctor import examine
from tests.conftest import DEMO_MODELS


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    """No CUDA device, whatever the machine has."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)


@pytest.fixture
def models(tmp_path):
    """The bundled models, in folders that a test may damage."""
    for name in ("clip", "captioner", "parser"):
        shutil.copytree(DEMO_MODELS / name, tmp_path / "mine" / name)
    return tmp_path / "mine"


def check(path, *overrides, **options):
    """The checks by name, and those that failed."""
    checks = examine(str(path), list(overrides), path.parent / "store", **options)
    return {c.what: c for c in checks}, [c for c in checks if not c.ok]


def test_a_gpu_that_is_asked_for_and_not_there_fails(write_dag, tmp_path):
    path = write_dag(models=DEMO_MODELS)
    found, bad = check(path, "captions.device=cuda", load=False)
    assert [c.what for c in bad] == ["device of captions"]
    assert "'cuda' was asked for, and this machine has 0 CUDA devices" in bad[0].found
    assert found["device of image_embeddings"].found == "cpu (no GPU is used), fp32"
    assert found["lock"].hint == ""


def test_without_loading_it_says_which_file_is_missing(write_dag, models):
    path = write_dag(models=models)
    assert check(path, load=False)[1] == []
    (models / "captioner" / "tokenizer.json").unlink()
    (models / "clip" / "open_clip_model.safetensors").unlink()
    _, bad = check(path)
    assert [c.what for c in bad] == [
        f"model {models / 'captioner'}",
        f"model {models / 'clip'}",
    ]
    assert "lacks tokenizer (tokenizer.json or" in bad[0].found
    assert "captions need it" in bad[0].found
    assert "lacks weights (open_clip_model.safetensors or" in bad[1].found


def test_loading_finds_what_names_and_sizes_do_not_show(write_dag, models):
    path = write_dag(models=models)
    (models / "captioner" / "model.safetensors").write_bytes(b"no weights at all")
    found, bad = check(path)
    assert [c.what for c in bad] == ["loading for captions"]
    assert "could not be loaded" in bad[0].found
    shared = "loading for image_embeddings, regions, text_embeddings, object_embeddings"
    assert found[shared].ok


def test_one_missing_thing_does_not_hide_the_next(write_dag, models):
    path = write_dag(models=models)
    missing = ("corpus.root=none", "objects.model=en_no_such_pipeline", "captions.model=lab/gone")
    found, bad = check(path, *missing, load=False)
    assert [c.what for c in bad] == ["corpus", "model lab/gone", "model en_no_such_pipeline"]
    assert "it is not on this machine" in found["model lab/gone"].found
    command = f"item models fetch {path} " + " ".join(f"--set {one}" for one in missing)
    assert found["model lab/gone"].hint == f"`{command}` gets it"
    install = "python -m spacy download en_no_such_pipeline"
    assert install in found["model en_no_such_pipeline"].hint
    assert "not pinned" in found["revision"].found


def test_code_of_a_checkpoint_is_pointed_out(write_dag, models):
    path = write_dag(models=models)
    config = models / "captioner" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"A": "b.C"}}))
    found, bad = check(path, load=False)
    assert bad == []
    assert "trust_remote_code: true" in found[f"model {models / 'captioner'}"].hint


def test_a_damaged_file_is_named(write_dag, models):
    path = write_dag(models=models)
    (models / "captioner" / "config.json").write_text('{"model_type": ')
    _, bad = check(path, load=False)
    assert [c.what for c in bad] == [f"model {models / 'captioner'}"]
    assert "a file of the model is damaged" in bad[0].found and "config.json" in bad[0].found


def test_the_paper_scale_dag_says_all_that_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    given = ["corpus.root=/no/such/GenImage", "objects.model=en_no_such_pipeline"]
    checks = {c.what: c for c in examine("item", given, tmp_path / "store", load=True)}
    assert checks["DAG"].ok
    missing = {what for what, c in checks.items() if not c.ok and not what.startswith("device")}
    assert missing == {
        "corpus",
        "model Salesforce/blip-image-captioning-large",
        "model ViT-L-14:openai",
        "model en_no_such_pipeline",
        "model google/owlv2-base-patch16-ensemble",
    }
    for node in ("captions", "regions", "image_embeddings"):
        assert "'cuda' was asked for" in checks[f"device of {node}"].found


def test_a_cluster_that_cannot_be_started_from_here_fails(write_dag, monkeypatch, tmp_path):
    path = write_dag(models=DEMO_MODELS)
    assert check(path, load=False)[0]["cluster"].found == "workers of this machine"
    monkeypatch.setattr("pipeline.engine.machine.gpus", lambda: ["0"])
    _, (bad,) = check(path, "cluster.gpus=2", load=False)
    assert (bad.what, bad.found) == ("cluster", "cluster.gpus is 2, and this machine has 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    found, (bad,) = check(path, "cluster.kind=slurm", load=False)
    assert bad.what == "cluster" and "no sbatch on this machine" in bad.found
    (tmp_path / "sbatch").write_text("#!/bin/sh")
    (tmp_path / "sbatch").chmod(0o755)
    found, bad = check(path, "cluster.kind=slurm", load=False)
    assert not bad
    assert found["cluster"].found == "jobs of SLURM: 1 with a GPU, 1 without"
    found, _ = check(path, "cluster={kind: ssh, hosts: [a, b]}", load=False)
    assert found["cluster"].found == "workers on a, b, by ssh"
