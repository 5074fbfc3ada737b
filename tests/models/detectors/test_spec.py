import json
import shutil

import numpy as np
import pytest
import torch
from transformers import BlipConfig

from pipeline import models
from pipeline.errors import UserError
from pipeline.models.detectors.base import Located, corners
from pipeline.models.detectors.spec import DetectorSpec
from pipeline.models.transfer import Home
from pipeline.spec import output_parameters
from tests.helpers.detectors import save_grounding_dino, save_owlv2


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        "owlv2": save_owlv2(tmp_path_factory.mktemp("owlv2")),
        "grounding-dino": save_grounding_dino(tmp_path_factory.mktemp("dino")),
    }


FAMILIES = pytest.mark.parametrize("family", ["owlv2", "grounding-dino"])


def spec(folder, family, **settings):
    return DetectorSpec(family=family, model=str(folder), device="cpu", **settings)


@pytest.fixture
def copy(folders, tmp_path):
    """A copy of a family's folder that a test may harm."""

    def make(family):
        return shutil.copytree(folders[family], tmp_path / family)

    return make


@FAMILIES
def test_a_folder_is_identified_by_its_files_and_loaded_once(folders, family):
    one = spec(folders[family], family)
    assert list(one.identity()) == ["local"]
    assert models.get(one) is models.get(spec(folders[family], family))
    assert models.get(one).model.dtype == torch.float32


def test_precision_and_remote_code_are_in_the_fingerprint_device_is_not(folders):
    kept = output_parameters(spec(folders["owlv2"], "owlv2"))
    assert kept == {"family": "owlv2", "precision": "fp32", "trust_remote_code": False}


@pytest.mark.parametrize(
    ("asked", "given"), [("owlv2", "grounding-dino"), ("grounding-dino", "owlv2")]
)
def test_the_other_family_is_refused(folders, asked, given):
    with pytest.raises(UserError, match=f"it is a '{given}' model, and the method is {asked}"):
        spec(folders[given], asked).load()


@FAMILIES
def test_a_captioner_is_no_detector(tmp_path, family):
    BlipConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="it is a 'blip' model") as failure:
        spec(tmp_path, family).load()
    assert failure.value.where == str(tmp_path)
    assert f"the {family} detector" in failure.value.what
    assert failure.value.hint


@FAMILIES
def test_damaged_weights_are_the_users_error(copy, family):
    folder = copy(family)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="could not be loaded") as failure:
        spec(folder, family).load()
    assert failure.value.where == str(folder)


@FAMILIES
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_the_users_error(copy, family, name):
    folder = copy(family)
    (folder / name).unlink()
    for other in ("vocab.txt", "vocab.json"):
        (folder / other).unlink(missing_ok=True)
    with pytest.raises(UserError, match="could not be loaded"):
        spec(folder, family).load()


@FAMILIES
def test_a_checkpoint_that_lacks_weights_is_refused(copy, family):
    from safetensors.torch import load_file, save_file

    folder = copy(family)
    weights = load_file(folder / "model.safetensors")
    heads = ("class_head", "model.decoder")
    kept = {name: value for name, value in weights.items() if not name.startswith(heads)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="weights of a detector are missing"):
        spec(folder, family).load()


def _add_tokens(folder, count):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"new{number}" for number in range(count)])
    tokenizer.save_pretrained(folder)


@FAMILIES
def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(copy, family):
    folder = copy(family)
    _add_tokens(folder, 3)
    with pytest.raises(UserError, match=r"its tokenizer has \d+ tokens, and its text tower knows"):
        spec(folder, family).load()


def test_a_tokenizer_with_other_numbers_for_the_ends_is_refused(copy):
    folder = copy("grounding-dino")
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text())
    vocabulary = raw["model"]["vocab"]
    vocabulary["."], vocabulary["?"] = vocabulary["?"], vocabulary["."]
    path.write_text(json.dumps(raw))
    with pytest.raises(UserError, match="its tokenizer does not fit"):
        spec(folder, "grounding-dino").load()


def test_a_hub_name_out_of_reach_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    absent = DetectorSpec(family="owlv2", model="nobody/no-such-detector", device="cpu")
    assert absent.identity() == {"hub": "nobody/no-such-detector", "revision": None}
    with pytest.raises(UserError, match="could not be loaded") as failure:
        absent.load()
    assert str(tmp_path) in failure.value.where


OWN_CODE = """
from transformers import Owlv2Config, Owlv2ForObjectDetection

class OwnConfig(Owlv2Config):
    pass

class OwnModel(Owlv2ForObjectDetection):
    config_class = OwnConfig
"""


@pytest.mark.parametrize(
    ("allowed", "expected"), [(False, "Owlv2ForObjectDetection"), (True, "OwnModel")]
)
def test_a_checkpoints_own_code_runs_only_when_it_is_allowed(
    copy, tmp_path, monkeypatch, allowed, expected
):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    folder = copy("owlv2")
    (folder / "own.py").write_text(OWN_CODE)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForZeroShotObjectDetection": "own.OwnModel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    detector = spec(folder, "owlv2", trust_remote_code=allowed).load()
    assert type(detector.model).__name__ == expected


def test_corners_are_cut_at_the_image():
    boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.25], [0.0, 1.0, 0.5, 0.5], [1.2, 0.5, 0.1, 0.0]]])
    scale = torch.tensor([[[1.0, 2.0, 1.0, 2.0]]])
    assert corners(boxes, scale).tolist() == [
        [[0.25, 0.75, 0.75, 1.0], [0.0, 1.0, 0.25, 1.0], [1.0, 1.0, 1.0, 1.0]]
    ]


def test_each_image_has_as_many_boxes_as_phrases():
    located = Located(Home(torch.arange(16.0).reshape(2, 2, 4), torch.zeros(2, 2)), (1, 2))
    shapes = [(boxes.shape, scores.shape) for boxes, scores in located.each()]
    assert shapes == [((1, 4), (1,)), ((2, 4), (2,))]
    assert all(isinstance(boxes, np.ndarray) for boxes, _ in located.each())
