import json

import pytest

from pipeline.models.weights import required_files

BLIP = [
    *("config.json", "preprocessor_config.json", "tokenizer.json", "vocab.txt", "README.md"),
    *("pytorch_model.bin", "tf_model.h5", ".gitattributes", "onnx/config.json", "modeling_x.py"),
]
SETTINGS = ["config.json", "preprocessor_config.json", "tokenizer.json", "vocab.txt"]


def test_safetensors_before_pickles():
    assert required_files.transformers_files(BLIP) == sorted([*SETTINGS, "pytorch_model.bin"])
    safe = required_files.transformers_files([*BLIP, "model.safetensors"])
    assert safe == sorted([*SETTINGS, "model.safetensors"])


def test_all_shards_of_one_set_and_their_index():
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "model.safetensors.index.json"
    others = ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"]
    found = required_files.transformers_files([*SETTINGS, *shards, index, *others])
    assert found == sorted([*SETTINGS, *shards, index])


def test_code_only_when_it_is_trusted():
    assert "modeling_x.py" not in required_files.transformers_files(BLIP)
    assert "modeling_x.py" in required_files.transformers_files(BLIP, remote_code=True)


def test_no_weights_is_nothing_at_all():
    assert required_files.transformers_files(["config.json", "tf_model.h5"]) == []
    assert required_files.open_clip_files(["open_clip_config.json", "model.safetensors"]) == []


def test_open_clip_prefers_safetensors():
    names = ["open_clip_config.json", "open_clip_pytorch_model.bin", "tokenizer.json"]
    assert "open_clip_pytorch_model.bin" in required_files.open_clip_files(names)
    both = required_files.open_clip_files([*names, "open_clip_model.safetensors"])
    assert both == ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("config.json", ["config.json"]),
        ("tokenizer.json", ["tokenizer (tokenizer.json or vocab.txt or vocab.json)"]),
        ("model-2-of-2.safetensors", ["model-2-of-2.safetensors"]),
        ("model.safetensors.index.json", ["weights (model.safetensors)"]),
        (
            "preprocessor_config.json",
            ["image processor (preprocessor_config.json or processor_config.json)"],
        ),
    ],
)
def test_what_a_folder_lacks_is_named(tmp_path, gone, said):
    shards = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    names = ["config.json", "tokenizer.json", "preprocessor_config.json", *shards.values()]
    for name in names:
        (tmp_path / name).write_text("{}")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    assert required_files.lacking(tmp_path, "transformers") == []
    (tmp_path / gone).unlink()
    assert required_files.lacking(tmp_path, "transformers") == said


def test_an_open_clip_folder_needs_its_configuration_and_weights(tmp_path):
    said = required_files.lacking(tmp_path, "open_clip")
    assert said[0] == "open_clip_config.json" and said[1].startswith("weights (open_clip_model")


def test_remote_code_is_seen_in_the_configuration(tmp_path):
    config = tmp_path / "config.json"
    assert not required_files.needs_remote_code(config)
    config.write_text('{"model_type": "x"}')
    assert not required_files.needs_remote_code(config)
    config.write_text('{"auto_map": {"AutoModel": "modeling_x.X"}}')
    assert required_files.needs_remote_code(config)
