"""The four families train a step, sample pictures of the right kind, and repeat with their seed."""

import numpy as np
import pytest
import torch

from pipeline.demo import flow, gan, generators, training, vae, vqar
from pipeline.demo.scenes import render, sample_scene
from pipeline.demo.words import EMPTY, LENGTH, WORDS, tokenise

SMALL = {
    "gan": (gan, gan.Settings(latent=8, widths=(8, 8, 16, 16), batch=4, steps=2)),
    "vae": (vae, vae.Settings(latent=8, widths=(8, 8, 16, 16), batch=4, steps=2, components=2)),
    "flow": (
        flow,
        flow.Settings(
            picture_widths=(8, 16),
            picture_batch=4,
            picture_steps=2,
            width=8,
            text_width=16,
            batch=4,
            steps=2,
        ),
    ),
    "vqar": (
        vqar,
        vqar.Settings(
            widths=(8, 8, 16),
            codes=16,
            code_width=8,
            picture_batch=4,
            picture_steps=2,
            width=16,
            layers=1,
            heads=2,
            batch=4,
            steps=2,
        ),
    ),
}


@pytest.fixture(scope="module")
def scenes():
    """Eight pictures and their prompts."""
    found = [sample_scene(seed) for seed in range(8)]
    return np.stack([render(scene) for scene in found]), [scene.prompt for scene in found]


@pytest.fixture(scope="module", params=sorted(SMALL))
def trained(request, scenes):
    """Family, module, settings, and what two steps of training gave."""
    module, settings = SMALL[request.param]
    return request.param, module, settings, *module.train(*scenes, 3, settings)


def test_record_tells_how_it_was_made(trained):
    family, _, settings, model, record = trained
    assert (record.family, record.seed, record.steps) == (family, 3, 2)
    assert (record.training_images, record.batch) == (8, settings.batch)
    assert record.parameters == sum(p.numel() for p in model.parameters()) > 1000
    assert record.seconds > 0
    assert all(np.isfinite(v) for v in record.final_losses.values())


def test_samples_are_pictures_and_repeat(trained, scenes):
    _, module, _, model, _ = trained
    first = module.sample(model, scenes[1][:3], 5)
    assert first.shape == (3, 64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, module.sample(model, scenes[1][:3], 5))
    if first.std(axis=(1, 2)).max() > 3:  # two steps of training can leave pictures flat
        assert not np.array_equal(first, module.sample(model, scenes[1][:3], 6))


def test_same_seed_same_training(trained, scenes):
    _, module, settings, model, record = trained
    again, second = module.train(*scenes, 3, settings)
    assert second.final_losses == record.final_losses
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_saved_and_loaded_gives_the_same_pictures(trained, scenes, tmp_path):
    family, module, settings, model, record = trained
    training.save(tmp_path / family, model, record)
    loaded = training.load(tmp_path / family, lambda: type(model)(settings))
    prompts = scenes[1][:2]
    assert np.array_equal(module.sample(loaded, prompts, 5), module.sample(model, prompts, 5))
    assert training.read_record(tmp_path / family) == record


@pytest.mark.parametrize("module", [flow, vqar])
def test_prompt_changes_the_picture(module, scenes):
    settings = SMALL[module.__name__.split(".")[-1]][1]
    model, _ = module.train(*scenes, 0, settings)
    if module is flow:  # its last layers start at zero, so two steps tell prompts apart too little
        torch.nn.init.normal_(model.out[-1].weight)
        for block in model.attend:
            torch.nn.init.normal_(block.out.weight)
    one = module.sample(model, ["a red ball on a gray background"] * 4, 5)
    other = module.sample(model, ["a blue cube on a striped teal background"] * 4, 5)
    assert not np.array_equal(one, other)


def test_tokens_keep_the_words_that_tell():
    tokens = tokenise(["a red ball and a blue cube on a striped gray background", ""])
    shown = [WORDS[number] for number in tokens[0].tolist()]
    assert shown == ["red", "ball", "blue", "cube", "striped", "gray"] + [""] * (LENGTH - 6)
    assert tokens[1].tolist() == [EMPTY] * LENGTH


def test_every_prompt_fits():
    longest = max((sample_scene(seed).prompt for seed in range(400)), key=len)
    assert (tokenise([longest])[0] != EMPTY).all()


def test_too_long_a_prompt_is_refused():
    with pytest.raises(ValueError, match="at most 10"):
        tokenise(["red ball " * 6])


def test_batches_see_everything_once_a_pass():
    seen = np.concatenate(list(training.batches(12, 4, 3, 0)))
    assert sorted(seen.tolist()) == list(range(12))


def test_pictures_survive_the_way_in_and_out(scenes):
    assert np.array_equal(training.to_pictures(training.to_tensor(scenes[0])), scenes[0])


def test_work_folder_from_scenes_to_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(vae, "Settings", lambda: SMALL["vae"][1])
    monkeypatch.setattr(generators, "FAKES", 3)
    threads = torch.get_num_threads()
    scenes = generators.render_scenes(tmp_path, range(1_000_000, 1_000_008))
    with np.load(scenes) as file:
        assert np.array_equal(file["images"][2], render(sample_scene(1_000_002)))
    assert generators.train_family(tmp_path, "vae", 0) == tmp_path / "vae" / "record.json"
    with np.load(generators.sample_family(tmp_path, "vae", 0)) as file:
        assert file["images"].shape == (3, 64, 64, 3)
    assert training.read_record(tmp_path / "vae").training_images == 8
    torch.set_num_threads(threads)
