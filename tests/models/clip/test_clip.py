import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch.overrides import TorchFunctionMode
from transformers import BertTokenizerFast

from pipeline import models
from pipeline.errors import UserError
from pipeline.models.clip.clip import ClipSpec, unit
from pipeline.models.weights import no_random
from pipeline.spec import output_parameters


@pytest.fixture(scope="module")
def clip(clip_folder):
    return models.get(ClipSpec(model=f"local-dir:{clip_folder}", device="cpu"))


@pytest.fixture(scope="module")
def direct(clip_folder):
    """The same model by open_clip's own calls."""
    name = f"local-dir:{clip_folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def embed(clip, pictures):
    """Unit vectors and norms of pictures, as the stages get them."""
    return unit(clip.encode_images([clip.prepare(picture) for picture in pictures])).arrays()


def embed_texts(clip, texts):
    return unit(clip.encode_texts(texts)[0]).arrays()


def dense_of(clip, pictures):
    features, grid = clip.encode_patches([clip.prepare(picture) for picture in pictures])
    return unit(features).arrays()[0], grid


def test_images_are_embedded_as_open_clip_does(clip, direct, pictures):
    model, preprocess, _ = direct
    with torch.no_grad():
        raw = model.encode_image(torch.stack([preprocess(p) for p in pictures])).numpy()
    embeddings, norms = embed(clip, pictures)
    assert embeddings.shape == (7, clip.width) == (7, 24)
    assert embeddings.dtype == norms.dtype == np.float32
    np.testing.assert_allclose(norms, np.linalg.norm(raw, axis=1), rtol=1e-5)
    np.testing.assert_allclose(embeddings, raw / norms[:, None], atol=1e-6)


def test_every_weight_is_the_checkpoints(clip, direct):
    """None is drawn at random before it is read, so none may be left out."""
    own, theirs = clip.model.state_dict(), direct[0].state_dict()
    assert own.keys() == theirs.keys() and len(own) > 20
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    buffers, others = dict(clip.model.named_buffers()), dict(direct[0].named_buffers())
    assert buffers.keys() == others.keys()
    assert all(torch.equal(buffers[name], others[name]) for name in buffers)


def test_nothing_random_is_drawn_for_weights_that_are_read(clip_folder):
    """ViT-L-14 would take four seconds for it."""
    called = []

    class Seen(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            called.append(func)
            return func(*args, **(kwargs or {}))

    with Seen():
        ClipSpec(model=f"local-dir:{clip_folder}", device="cpu").load()
    assert len(called) > 100 and not no_random.DRAWING & set(called)


def test_the_batch_an_image_is_in_does_not_change_its_embedding(clip, pictures):
    together = embed(clip, pictures)[0]
    alone = np.concatenate([embed(clip, [picture])[0] for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_texts_are_embedded_as_open_clip_does(clip, direct):
    model, _, tokenizer = direct
    texts = ["a red ball", "a blue cube on a gray background", "a red ball"]
    with torch.no_grad():
        raw = model.encode_text(tokenizer(texts)).numpy()
    embeddings, norms = embed_texts(clip, texts)
    truncated = clip.encode_texts(texts)[1]
    np.testing.assert_allclose(embeddings * norms[:, None], raw, atol=1e-5)
    np.testing.assert_allclose(embeddings[0], embeddings[2], atol=1e-6)
    assert truncated.tolist() == [False, False, False]


def test_a_text_longer_than_the_context_is_reported(clip):
    fits = "a b c d e f g h i j"  # ten tokens, with begin and end the twelve of the context
    features, truncated = clip.encode_texts([fits, f"{fits} k", "", f"{fits} k l m n o p"])
    assert truncated.tolist() == [False, True, False, True]
    assert np.isfinite(features.numpy()).all()


def test_a_cut_text_is_seen_with_a_tokenizer_of_transformers_too(clip_folder, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "ball"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "tokenizer.json"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    clip = ClipSpec(model=f"local-dir:{folder}", device="cpu").load()
    texts = ["red ball", "red " * 10, "red " * 11, "red ball " * 20]
    assert clip.encode_texts(texts)[1].tolist() == [False, False, True, True]


def test_patches_keep_to_themselves_in_the_last_block(clip, direct, pictures):
    """Against the formula of MaskCLIP: value and output projection, no attention."""
    model, preprocess, _ = direct
    tower = model.visual
    with torch.no_grad():
        x = tower._embeds(torch.stack([preprocess(p) for p in pictures]))
        x = tower.transformer.resblocks[0](x)
        last = tower.transformer.resblocks[1]
        value = last.attn.in_proj_weight[64:] @ last.ln_1(x).mT
        value = value.mT + last.attn.in_proj_bias[64:]
        x = x + last.attn.out_proj(value)
        x = x + last.mlp(last.ln_2(x))
        expected = torch.nn.functional.normalize(tower.ln_post(x[:, 1:]) @ tower.proj, dim=-1)
    dense, grid = dense_of(clip, pictures)
    assert grid == (4, 4)
    assert dense.shape == (7, 16, 24)
    assert dense.dtype == np.float32
    np.testing.assert_allclose(dense, expected.numpy(), atol=1e-5)


def test_patches_are_the_same_with_the_sequence_first(clip_folder, clip, pictures):
    other = ClipSpec(model=f"local-dir:{clip_folder}", device="cpu").load()
    transformer = other.model.visual.transformer
    transformer.batch_first = False
    for block in transformer.resblocks:
        block.attn.batch_first = False
    np.testing.assert_allclose(dense_of(other, pictures)[0], dense_of(clip, pictures)[0], atol=1e-5)


def test_another_kind_of_tower_has_no_patches(clip_folder, pictures):
    other = ClipSpec(model=f"local-dir:{clip_folder}", device="cpu").load()
    other.model.visual = torch.nn.Identity()
    with pytest.raises(UserError, match=r"Identity.*no patch embeddings") as failure:
        dense_of(other, pictures)
    assert "method: whole" in failure.value.hint


@pytest.mark.parametrize(
    ("size", "mode", "expected"),
    [
        ((64, 64), "shortest", (0, 0, 1, 1)),
        ((128, 64), "shortest", (0.25, 0, 0.75, 1)),
        ((50, 200), "shortest", (0, 0.375, 1, 0.625)),
        ((128, 64), "squash", (0, 0, 1, 1)),
        ((128, 64), "longest", (0, -0.5, 1, 1.5)),
    ],
)
def test_what_the_transform_leaves_of_an_image(clip, monkeypatch, size, mode, expected):
    monkeypatch.setattr(clip, "resize_mode", mode)
    assert clip.visible(size) == pytest.approx(expected)


def test_visible_agrees_with_the_transform_itself(clip):
    """A white column in a black image comes out where `visible` says."""
    image = Image.new("RGB", (200, 100))
    image.paste("white", (120, 0, 130, 100))
    x0, _, x1, _ = clip.visible(image.size)
    columns = clip.prepare(image).mean((0, 2)).astype(float)
    centre = (columns * (np.arange(32) + 0.5) / 32).sum() / columns.sum()
    assert x0 + centre * (x1 - x0) == pytest.approx(125 / 200, abs=0.005)


def test_a_fit_is_open_clips_own_resize_mode(clip, clip_folder, pictures):
    """Of a CLIP that crops; `create_model_from_pretrained` says how the others would be."""
    name = f"local-dir:{clip_folder}"
    for fit, mode in (("crop", "shortest"), ("squash", "squash")):
        _, transform = open_clip.create_model_from_pretrained(name, image_resize_mode=mode)
        expected = torch.stack([transform(picture) for picture in pictures])
        prepare = clip.fitted(fit)
        assert torch.equal(clip._batch([prepare(picture) for picture in pictures]), expected)
    same = [clip.fitted("crop")(picture) for picture in pictures]
    assert all(map(np.array_equal, same, map(clip.prepare, pictures)))


def test_a_clip_that_squashes_sees_a_squashed_region_as_it_always_did(clip_folder, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "squash"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    clip = ClipSpec(model=f"local-dir:{folder}", device="cpu").load()
    rng = np.random.default_rng(3)
    for width, height in [(80, 20), (20, 80), (7, 61), (32, 32), (1, 300)]:
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        np.testing.assert_array_equal(clip.fitted("squash")(picture), clip.prepare(picture))


def test_padding_is_the_mean_or_what_the_model_pads_with(clip, clip_folder, tmp_path):
    """A mean of 0.5 is 0 once it is normalised; a CLIP that pads has a colour of its own."""
    wide = Image.new("RGB", (64, 32), (255, 0, 0))
    batch = clip._batch([clip.fitted("pad")(wide)])
    assert batch[0, :, :8].abs().max() < 0.005 and batch[0, 0, 8:24].min() == 1
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": "longest", "fill_color": 7}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    other = ClipSpec(model=f"local-dir:{folder}", device="cpu").load()
    padded = other.fitted("pad")(wide)
    assert (padded[:8] == 7).all()
    np.testing.assert_array_equal(padded, other.prepare(wide))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_close(clip_folder, clip, pictures, precision):
    half = ClipSpec(model=f"local-dir:{clip_folder}", precision=precision, device="cpu").load()
    for own, reference in [
        (embed(half, pictures)[0], embed(clip, pictures)[0]),
        (embed_texts(half, ["a cube"])[0], embed_texts(clip, ["a cube"])[0]),
    ]:
        assert own.dtype == np.float32
        assert (own * reference).sum(1).min() > 0.999


def test_a_model_without_a_source_is_refused():
    with pytest.raises(ValidationError, match="needs `pretrained`"):
        ClipSpec(model="ViT-B-32")
    with pytest.raises(ValidationError, match="not with a folder"):
        ClipSpec(model="local-dir:somewhere", pretrained="openai")
    with pytest.raises(ValidationError, match="is a tag"):
        ClipSpec(model="ViT-B-32", pretrained="./weights.pt")


def test_identity_is_of_the_files_not_of_the_place(clip_folder, tmp_path):
    first = ClipSpec(model=f"local-dir:{clip_folder}")
    copy = tmp_path / "elsewhere"
    shutil.copytree(clip_folder, copy)
    second = ClipSpec(model=f"local-dir:{copy}")
    assert first.identity() == second.identity() == {"local": first.identity()["local"]}
    assert ClipSpec(model="ViT-L-14", pretrained="openai").identity() == {
        "open_clip": "ViT-L-14",
        "pretrained": "openai",
    }
    assert output_parameters(first) == {"pretrained": None, "precision": "fp32"}


def test_a_missing_folder_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="no such model folder") as failure:
        ClipSpec(model=f"local-dir:{tmp_path / 'gone'}").identity()
    assert str(tmp_path / "gone") in str(failure.value)


def test_an_unknown_open_clip_name_or_tag_is_the_users_error():
    with pytest.raises(UserError, match="open_clip knows no 'ViT-B-23'") as failure:
        ClipSpec(model="ViT-B-23", pretrained="openai", device="cpu").load()
    assert "ViT-B-32" in failure.value.hint
    with pytest.raises(UserError, match="no weights 'opnai' of ViT-B-32") as failure:
        ClipSpec(model="ViT-B-32", pretrained="opnai", device="cpu").load()
    assert "did you mean 'openai'?" in failure.value.hint


@pytest.mark.parametrize(
    "model", [{"model": "ViT-L-14", "pretrained": "openai"}, {"model": "hf-hub:some/model"}]
)
def test_weights_out_of_reach_say_what_to_do(model, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="not on this machine") as failure:
        ClipSpec(**model, device="cpu").load()
    assert str(tmp_path) in failure.value.where
    assert "HF_HUB_OFFLINE=1" in failure.value.hint


def test_weights_that_do_not_fit_the_configuration_are_refused(clip_folder, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 8
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="could not be loaded") as failure:
        ClipSpec(model=f"local-dir:{folder}", device="cpu").load()
    assert str(folder) in failure.value.where


def test_a_folder_without_weights_never_gives_a_random_model(clip_folder, tmp_path):
    shutil.copy(clip_folder / "open_clip_config.json", tmp_path)
    with pytest.raises(UserError, match="could not be loaded"):
        ClipSpec(model=f"local-dir:{tmp_path}", device="cpu").load()


def test_the_image_tower_can_be_compiled(clip_folder, clip, pictures, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call: compiled.append(call) or call)
    plain = ClipSpec(model=f"local-dir:{clip_folder}", device="cpu")
    spec = ClipSpec(model=f"local-dir:{clip_folder}", device="cpu", compile=True)
    other = spec.load()
    assert [call.__name__ for call in compiled] == ["encode_image"]
    np.testing.assert_array_equal(embed(other, pictures)[0], embed(clip, pictures)[0])
    assert output_parameters(spec) == output_parameters(plain)


def test_what_is_used_is_known(clip_folder):
    half = ClipSpec(model=f"local-dir:{clip_folder}", precision="bf16", device="cpu").load()
    assert (half.precision_used, half.device_used) == ("bf16", "cpu")
