"""How a CLIP looks at images, known from its configuration as from the loaded model."""

import json

import numpy as np
import open_clip
import pytest

from pipeline.models.clip import view
from pipeline.models.clip.clip import ClipSpec
from pipeline.models.clip.view import View, shown, view_of


def test_it_is_what_the_loaded_model_has(clip_folder):
    clip = ClipSpec(model=f"local-dir:{clip_folder}", device="cpu").load()
    found = view_of(ClipSpec(model=f"local-dir:{clip_folder}"))
    assert (found.mode, (found.height, found.width)) == (clip.resize_mode, clip.image_size)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_cfg": {"vision_cfg": {"image_size": 336}}}, View("shortest", 336, 336)),
        (
            {"model_cfg": {}, "preprocess_cfg": {"size": [224, 448], "resize_mode": "longest"}},
            View("longest", 224, 448),
        ),
        (
            {"model_cfg": {"vision_cfg": {"image_size": 64}}, "preprocess_cfg": {"size": None}},
            View("shortest", 64, 64),
        ),
    ],
)
def test_what_a_configuration_leaves_out_is_open_clips_default(tmp_path, config, expected):
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert view_of(ClipSpec(model=f"local-dir:{tmp_path}")) == expected


def test_a_tag_is_known_by_its_name():
    assert view_of(ClipSpec(model="ViT-L-14", pretrained="openai")) == View("shortest", 224, 224)
    siglip = ClipSpec(model="ViT-B-16-SigLIP", pretrained="webli")
    assert view_of(siglip) == View("squash", 224, 224)
    for model, tag in (("ViT-L-14-336", "openai"), ("ViT-B-32", "laion2b_s34b_b79k")):
        size = open_clip.get_model_config(model)["vision_cfg"]["image_size"]
        assert view_of(ClipSpec(model=model, pretrained=tag)) == View("shortest", size, size)


def test_a_configuration_that_is_not_here_is_not_known(tmp_path, monkeypatch):
    assert view_of(ClipSpec(model=f"local-dir:{tmp_path}")) is None
    (tmp_path / "open_clip_config.json").write_text("{")
    assert view_of(ClipSpec(model=f"local-dir:{tmp_path}")) is None
    monkeypatch.setattr(view.checkpoints, "cached_revision", lambda name: None)
    assert view_of(ClipSpec(model="hf-hub:nobody/nothing")) is None
    monkeypatch.setattr("open_clip.factory.get_model_config", lambda name: None)
    assert view_of(ClipSpec(model="ViT-none", pretrained="tag")) is None


def test_a_hub_model_is_read_from_its_snapshot(tmp_path, monkeypatch):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    monkeypatch.setattr(view.checkpoints, "cached_revision", lambda name: "c" * 40)
    places = []
    monkeypatch.setattr(view.checkpoints, "snapshot", lambda *at: places.append(at) or tmp_path)
    assert view_of(ClipSpec(model="hf-hub:some/clip")) == View("shortest", 224, 224)
    assert view_of(ClipSpec(model=f"hf-hub:some/clip@{'d' * 40}")) is not None
    assert places == [("some/clip", "c" * 40), ("some/clip", "d" * 40)]


def test_shown_takes_arrays():
    across, down = shown(View("shortest", 10, 10), np.array([20.0, 10.0]), np.array([10.0, 40.0]))
    assert (across.tolist(), down.tolist()) == ([0.5, 1], [1, 0.25])
