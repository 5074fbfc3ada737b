import json
import re
import shutil

import pytest

from pipeline.setup.doctor import examine
from tests.conftest import DEMO_MODELS

KINDS = ("0_real", "1_fake")


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
    assert re.fullmatch("local [0-9a-f]{64}", found[shared].found)


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


PUBLIC = {
    "genimage": [
        f"{outer}/{split}/{kind}"
        for outer in ("stable_diffusion_v_1_4/imagenet_ai_0419_sdv4", "imagenet_glide", "ADM")
        for split in ("train", "val")
        for kind in ("ai", "nature")
    ],
    "forensynths": [
        f"{place}/{kind}"
        for place in ("train/progan/cat", "train/progan/car", "test/progan/cat", "test/crn")
        for kind in ("0_real", "1_fake")
    ],
    "univfd": [
        *(f"{place}/{kind}" for place in ("train/progan/cat", "test/san") for kind in KINDS),
        *("diffusion_datasets/imagenet/0_real", "diffusion_datasets/guided/1_fake"),
        *("diffusion_datasets/laion/0_real", "diffusion_datasets/dalle/1_fake"),
    ],
}


@pytest.mark.parametrize("name", list(PUBLIC))
def test_the_dags_of_public_corpora_say_what_they_need(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def examined(root):
        checks = examine(name, [f"corpus.root={root}"], tmp_path / "store", load=False)
        return {c.what: c for c in checks}

    lacking = examined(tmp_path / "none")
    assert lacking["DAG"].ok and "no such folder" in lacking["corpus"].found
    hint = lacking["corpus"].hint
    assert "(from github.com/" in hint and "/FILE" in hint and "--set corpus.root=" in hint
    assert sum(what.startswith("model ") and not c.ok for what, c in lacking.items()) == 4
    for folder in PUBLIC[name]:  # by their paths alone, before any model is there
        for number in range(6):
            path = tmp_path / "corpus" / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(path))
    found = examined(tmp_path / "corpus")
    half = len(PUBLIC[name]) * 3
    assert found["corpus"].ok
    assert found["corpus"].found.endswith(f"corpus: {half} real, {half} fake")
    assert found["experiments"].found == "the SQL of 2 is right"
    high = examined(tmp_path)
    assert not high["corpus"].ok and high["corpus"].hint.endswith(f"to {tmp_path / 'corpus'}")


def test_an_auto_layout_is_examined_before_and_after_it_is_kept(write_dag, corpus):
    path = write_dag(models=DEMO_MODELS)
    found, bad = check(path, "corpus.layout=auto", load=False)
    assert not bad and "(layout auto is forensynths): 6 real, 6 fake" in found["corpus"].found
    gone = ("corpus.layout=auto", "captions.model=lab/gone")
    found, bad = check(path, *gone, load=False)
    assert [one.what for one in bad] == ["model lab/gone"]
    assert "(layout auto is forensynths)" in found["corpus"].found


def test_room_is_not_told_of_what_is_not_measured(write_dag):
    room = check(write_dag(models=DEMO_MODELS), load=False)[0]["room for the run"].found
    assert room.startswith("not measured yet: listing, images, captions, ")
    assert re.search(r"features; [\d.]+ GB free$", room) and "0.00 GB" not in room


def test_a_quicker_precision_is_pointed_out(write_dag, monkeypatch):
    path = write_dag(models=DEMO_MODELS)
    monkeypatch.setattr("pipeline.models.precision._processor_has_bf16", lambda: True)
    found, _ = check(path, "captions.precision=auto", load=False)
    assert found["precision"].found == (
        "fp32 in image_embeddings, regions, text_embeddings, object_embeddings"
    )
    assert found["precision"].hint.startswith("`precision: auto` is bf16 here")
    monkeypatch.setattr("pipeline.models.precision._processor_has_bf16", lambda: False)
    assert "precision" not in check(path, load=False)[0]


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
