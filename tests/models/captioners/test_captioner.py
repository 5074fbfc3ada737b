"""Loading: which adapter a checkpoint gets, and what is said of one that cannot be used."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPConfig

from pipeline.errors import UserError
from pipeline.models.captioners.blip import Blip
from pipeline.models.captioners.captioner import CaptionerSpec
from pipeline.models.captioners.generation import Generation
from pipeline.models.captioners.vision_language import VisionLanguage
from pipeline.models.clip.clip import ClipSpec
from pipeline.models.parser.parser import ParserModel
from tests.helpers.tiny_captioners import build


@pytest.fixture
def folder(captioner_folder, tmp_path):
    """A copy of a BLIP captioner that a test may damage."""
    return shutil.copytree(captioner_folder, tmp_path / "captioner")


def load(folder, **options):
    return CaptionerSpec(model=str(folder), device="cpu", **options).load()


def edit(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_the_family_decides_the_adapter(captioner_folder, tmp_path):
    assert isinstance(load(captioner_folder), Blip)
    assert isinstance(load(build("blip2_opt", tmp_path)), VisionLanguage)


def test_the_checkpoints_taste_does_not_count(folder, pictures):
    """Nor in a language model within: what the DAG does not say is transformers' default."""
    plain = load(folder)
    prepared = [plain.prepare(picture) for picture in pictures]
    generation = Generation(num_beams=1, max_new_tokens=9)
    expected = plain.caption(prepared, generation)
    edit(folder / "generation_config.json", do_sample=True, repetition_penalty=9.0, temperature=3.0)
    edit(
        folder / "config.json",
        text_config={
            **json.loads((folder / "config.json").read_text())["text_config"],
            "repetition_penalty": 9.0,
        },
    )
    assert load(folder).caption(prepared, generation) == expected


def test_another_family_is_refused(tmp_path):
    CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="it is a 'clip' model, which writes no captions"):
        load(tmp_path)


def test_another_task_of_the_family_is_refused(folder):
    edit(folder / "config.json", architectures=["BlipForQuestionAnswering"])
    with pytest.raises(UserError, match="it holds a BlipForQuestionAnswering"):
        load(folder)


def test_an_open_clip_folder_is_no_captioner(clip_folder):
    with pytest.raises(UserError, match="could not be loaded") as failure:
        load(clip_folder)
    assert failure.value.where == str(clip_folder)


def test_a_captioner_is_no_clip_and_no_parser(captioner_folder):
    with pytest.raises(UserError, match="could not be loaded"):
        ClipSpec(model=f"local-dir:{captioner_folder}", device="cpu").load()
    with pytest.raises(UserError, match="no spaCy pipeline"):
        ParserModel(str(captioner_folder)).identity()


def test_a_checkpoint_that_lacks_weights_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("text_decoder")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="weights of a captioner are missing"):
        load(folder)


def test_a_damaged_file_is_the_users_error(folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="could not be loaded") as failure:
        load(folder)
    assert failure.value.where == str(folder)


def test_a_truncated_file_is_the_users_error(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="could not be loaded") as failure:
        load(folder)
    assert "all of them" in failure.value.hint


def test_pickled_weights_that_are_garbage_are_the_users_error(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UserError, match="could not be loaded"):
        load(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"word{number}": 100 + number for number in range(5)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match="tokenizer does not fit: it has the token id 104"):
        load(folder)


def test_a_tokenizer_without_the_models_end_token_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    edit(folder / "config.json", text_config={**config["text_config"], "sep_token_id": 9})
    with pytest.raises(UserError, match="ends a text with token 9, which is no end token"):
        load(folder)


def test_an_end_token_need_not_be_a_special_one(tmp_path, pictures):
    """BLIP-2 with OPT ends where the line does."""
    folder = build("blip2_opt", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    ball = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("ball")
    edit(folder / "config.json", text_config={**config["text_config"], "eos_token_id": ball})
    blip2 = load(folder)
    generation = Generation(prompt="describe", num_beams=1, max_new_tokens=40)
    captions = blip2.caption(pictures, generation)
    assert min(caption.num_tokens for caption in captions) < 40
    assert all(caption.text.count("ball") <= 1 for caption in captions)


def test_an_end_that_no_tokenizer_knows_is_refused(tmp_path):
    folder = build("llava", tmp_path)
    edit(folder / "generation_config.json", eos_token_id=777)
    with pytest.raises(UserError, match="ends a text with token 777"):
        load(folder)


def test_an_image_token_that_differs_is_refused(tmp_path):
    folder = build("llava", tmp_path)
    edit(folder / "config.json", image_token_index=7, image_token_id=7)
    with pytest.raises(UserError, match="token 4 for the processor, and 7 for the model"):
        load(folder)


def test_a_folder_without_a_processor_is_refused(folder):
    for file in folder.glob("*processor*"):
        file.unlink()
    for file in folder.glob("*token*"):
        file.unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(UserError, match="could not be loaded"):
        load(folder)


@pytest.fixture
def own_code(captioner_folder, tmp_path, monkeypatch):
    """A captioner whose configuration, model and processor come as program code beside it."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    folder = shutil.copytree(captioner_folder, tmp_path / "captioner")
    (folder / "own.py").write_text(
        "from transformers import BlipConfig, BlipForConditionalGeneration\n\n\n"
        "class OwnConfig(BlipConfig):\n    model_type = 'blip_of_their_own'\n\n\n"
        "class OwnModel(BlipForConditionalGeneration):\n    config_class = OwnConfig\n"
    )
    edit(
        folder / "config.json",
        model_type="blip_of_their_own",
        architectures=["OwnModel"],
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForImageTextToText": "own.OwnModel"},
    )
    return folder


def test_code_that_comes_with_a_checkpoint_does_not_run_unasked(own_code):
    with pytest.raises(UserError, match="needs the program code that comes with it") as failure:
        load(own_code)
    assert "`trust_remote_code: true`" in failure.value.hint
    assert failure.value.where == str(own_code)


def test_code_that_is_trusted_runs(own_code):
    captioner = load(own_code, trust_remote_code=True)
    assert type(captioner.model).__name__ == "OwnModel"


def test_a_package_that_a_processor_needs_is_named(folder, monkeypatch):
    def needs(*_, **__):
        raise ImportError("Package `num2words` is required.\nInstall it: pip install num2words")

    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", needs)
    with pytest.raises(UserError, match="num2words") as failure:
        load(folder)
    assert failure.value.hint == "Install it: pip install num2words"


def test_a_hub_name_out_of_reach_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = CaptionerSpec(model="nobody/no-such-captioner", device="cpu")
    assert spec.identity() == {"hub": "nobody/no-such-captioner", "revision": None}
    with pytest.raises(UserError, match="could not be loaded") as failure:
        spec.load()
    assert str(tmp_path) in failure.value.where
    assert "HF_HUB_OFFLINE=1" in failure.value.hint


def test_automatic_precision_is_that_of_the_processor(captioner_folder, pictures, monkeypatch):
    monkeypatch.setattr("pipeline.models.precision._processor_has_bf16", lambda: True)
    captioner = load(captioner_folder, precision="auto")
    assert captioner.precision_used == "bf16"
    written = captioner.caption([captioner.prepare(pictures[0])], Generation(max_new_tokens=5))
    assert np.isfinite(written[0].mean_logprob)
