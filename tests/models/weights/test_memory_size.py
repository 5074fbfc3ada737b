import pytest

from pipeline.models.captioners.captioner import CaptionerSpec
from pipeline.models.clip.clip import ClipSpec
from pipeline.models.parser.parser import ParserModel
from pipeline.models.weights import memory_size


def test_a_folders_weights_count_once_whatever_formats_they_are_in(tmp_path):
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"x" * 500)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 1400)
    (tmp_path / "tokenizer.json").write_bytes(b"x" * 9000)
    assert memory_size.weights(CaptionerSpec(model=str(tmp_path))) == 1500
    assert memory_size.weights(ClipSpec(model=f"local-dir:{tmp_path}")) == 1500


@pytest.mark.parametrize("pinned", [True, False])
def test_a_hub_models_weights_lie_in_the_cache(tmp_path, monkeypatch, pinned):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit, repository = "a" * 40, tmp_path / "models--lab--blip"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "model.safetensors").write_bytes(b"x" * 700)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert memory_size.weights(CaptionerSpec(model="lab/blip" + f"@{commit}" * pinned)) == 700


def test_what_is_not_here_yet_counts_as_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert memory_size.weights(CaptionerSpec(model="lab/blip")) == 0
    assert memory_size.weights(ClipSpec(model="ViT-B-32", pretrained="openai")) == 0
    assert memory_size.weights(ParserModel("en_core_web_sm")) == 0
