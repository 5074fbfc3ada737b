"""`item models fetch` against a hub of our own; then everything without it."""

import json
import os

import pytest
import yaml

from tests.conftest import DEMO_MODELS, make_corpus, make_dag
from tests.helpers.hub import FakeHub, files_of

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
def lab(tmp_path_factory, hub, item_process):
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
        return item_process(*arguments, cwd=folder, env=env)

    return folder, dag, run


@pytest.fixture(scope="module")
def fetched(lab):
    folder, dag, run = lab
    answer = run("models", "fetch", dag, "--json")
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return json.loads(answer.stdout), folder, dag, run


def planned(run, dag, **environment):
    """The nodes' fingerprints by the plan, and what it said beside them."""
    answer = run("plan", dag, "--json", **environment)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    steps = json.loads(answer.stdout)["tables"]["nodes"]
    return {step["node"]: step["fingerprint"] for step in steps}, answer.stderr


def test_each_model_is_described_and_locked(fetched, hub):
    found, folder, _, _ = fetched
    models = {model["name"]: model for model in found["tables"]["models"]}
    blip, clip = models[CAPTIONER], models[CLIP]
    assert blip["state"] == clip["state"] == "fetched"
    assert blip["licence"] == "bsd-3-clause" and clip["licence"] == "not stated"
    assert blip["revision"] == next(iter(hub.commits[CAPTIONER]))
    assert blip["nodes"] == ["captions"] and "image_embeddings" in clip["nodes"]
    wanted = "config.json generation_config.json model.safetensors processor_config.json"
    wanted = {*wanted.split(), "tokenizer.json", "tokenizer_config.json"}
    sizes = {name: len(data) for name, data in files_of(DEMO_MODELS / "captioner").items()}
    assert blip["size"] == blip["downloaded"] == sum(sizes[name] for name in wanted)
    assert found["facts"]["lock"] == str(folder / "small.lock")
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


def test_without_a_network_the_doctor_is_content_and_the_run_computes(fetched):
    _, _, dag, run = fetched
    nowhere = {"offline": True, "endpoint": "http://127.0.0.1:9"}
    answer = run("doctor", dag, "--json", **nowhere)
    checks = json.loads(answer.stdout)["tables"]["checks"]
    assert answer.returncode == 0, [check for check in checks if not check["ok"]]
    loaded = [check["found"] for check in checks if check["what"].startswith("loading for")]
    assert len(loaded) == 3 and any(CAPTIONER in found for found in loaded)
    answer = run("run", dag, "--inline", "--until", "captions", "--json", **nowhere)
    assert answer.returncode == 0, answer.stderr
    totals = {total["node"]: total for total in json.loads(answer.stdout)["tables"]["nodes"]}
    assert totals["captions"]["rows_ok"] == 12


def test_the_fingerprint_stays_when_the_hub_moves_on(fetched, hub):
    _, _, dag, run = fetched
    before, _ = planned(run, dag)
    locked = next(iter(hub.commits[CAPTIONER]))
    newest = hub.commit(CAPTIONER, hub.commits[CAPTIONER][locked] | {"config.json": b"{}"})
    assert newest != locked
    answer = run("models", "fetch", dag, "--json")
    kept = {m["name"]: m["revision"] for m in json.loads(answer.stdout)["tables"]["models"]}
    assert kept[CAPTIONER] == locked
    assert planned(run, dag)[0] == before
    assert planned(run, dag, home="another empty one")[0] == before
    del hub.commits[CAPTIONER][newest]


def test_a_lock_that_is_not_found_is_said_and_explained(fetched):
    _, folder, dag, run = fetched
    lock = folder / "small.lock"
    before, said = planned(run, dag)
    assert "is not pinned" not in said
    content = lock.read_bytes()
    lock.unlink()
    try:
        now, said = planned(run, dag)
        assert now == before  # the cache's main is what was fetched
        assert f"the revision of {CAPTIONER} is not pinned by {lock}" in said
        wrong = run("plan", dag, "--set", "lock=elsewhere.lock")
        assert wrong.returncode == 2 and "there is no such lock file" in wrong.stderr
    finally:
        lock.write_bytes(content)


def test_one_model_that_fails_does_not_lose_the_others(lab, hub, tmp_path):
    _, dag, run = lab
    lost = ("--set", "captions.model=lab/none", "--lock", tmp_path / "x.lock")
    answer = run("models", "fetch", dag, *lost, "--json", home="second home")
    assert answer.returncode == 1, answer.stderr
    states = {m["name"]: m for m in json.loads(answer.stdout)["tables"]["models"]}
    assert states["lab/none"]["state"] == "missing"
    assert "no such repository" in states["lab/none"]["problem"]
    assert states[CLIP]["state"] == "fetched"
    assert list(yaml.safe_load((tmp_path / "x.lock").read_text())["models"]) == [CLIP]


def test_a_broken_download_keeps_what_was_fetched(lab, hub, tmp_path):
    _, dag, run = lab
    lock = ("--lock", tmp_path / "y.lock")
    hub.broken.add("model.safetensors")
    try:
        first = run("models", "fetch", dag, *lock, "--json", home="third home")
    finally:
        hub.broken.clear()
    assert first.returncode == 1
    (bad,) = [m for m in json.loads(first.stdout)["tables"]["models"] if m["state"] == "missing"]
    assert bad["name"] == CAPTIONER and "the hub refused" in bad["problem"]
    hub.downloads.clear()
    second = run("models", "fetch", dag, *lock, "--json", home="third home")
    assert second.returncode == 0, second.stderr
    assert f"{CAPTIONER}/model.safetensors" in hub.downloads
    assert f"{CAPTIONER}/config.json" not in hub.downloads
    assert not [name for name in hub.downloads if name.startswith(CLIP)]


def test_the_doctor_names_the_file_that_is_missing_without_loading(fetched, hub):
    _, folder, dag, run = fetched
    revision = next(iter(hub.commits[CAPTIONER]))
    cache = folder / "home" / "hub" / "models--lab--tiny-blip" / "snapshots" / revision
    tokenizer = cache / "tokenizer.json"
    target = tokenizer.readlink()
    tokenizer.unlink()
    try:
        answer = run("doctor", dag, "--quick", "--json", offline=True)
    finally:
        tokenizer.symlink_to(target)
    assert answer.returncode == 2
    (bad,) = [check for check in json.loads(answer.stdout)["tables"]["checks"] if not check["ok"]]
    assert bad["what"] == f"model {CAPTIONER}"
    assert f"revision {revision[:12]} lacks tokenizer.json" in bad["found"]
    assert bad["hint"] == f"`item models fetch {dag}` gets it"


def test_without_the_hub_every_missing_model_is_named(lab, tmp_path):
    _, dag, run = lab
    lock = ("--lock", tmp_path / "z.lock")
    answer = run("models", "fetch", dag, *lock, home="fourth", endpoint="http://127.0.0.1:9")
    assert answer.returncode == 1 and not (tmp_path / "z.lock").exists()
    for name in (CAPTIONER, CLIP):
        assert f"{name}: the hub cannot be reached" in answer.stderr
    assert "Traceback" not in answer.stderr
