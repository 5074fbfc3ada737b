"""The four generator families by name: training on the scenes, and sampling the fakes.

Every step leaves one artefact in the work folder and takes its pictures from there:
`scenes.npz`, `FAMILY/record.json` (with `model.safetensors` beside it), `FAMILY/samples.npz`.
"""

from pathlib import Path

import numpy as np
import torch

from pipeline.demo import flow, gan, training, vae, vqar
from pipeline.demo.pool import TRAIN_SEEDS
from pipeline.demo.scenes import render, sample_scene

FAMILIES = {"gan": gan, "vae": vae, "flow": flow, "vqar": vqar}
CONDITIONED = ("flow", "vqar")  # their pictures are made for a prompt
BUILDERS = {"gan": gan.Generator, "vae": vae.VAE, "flow": flow.Flow, "vqar": vqar.VQAR}
FAKES = 600  # a family
FIRST_PROMPT_SEED = 4_000_000


def prompt_seeds(family: str) -> range:
    """Seeds of the scenes that lend a conditioned family their prompts; no two families share."""
    first = FIRST_PROMPT_SEED + 10_000 * list(FAMILIES).index(family)
    return range(first, first + FAKES)


def render_scenes(work: Path, seeds: range = TRAIN_SEEDS) -> Path:
    """Draws the training scenes, uint8 [n, 64, 64, 3], to `work`/scenes.npz.

    No JPEG here: a fake is compressed once, when it enters the corpus, as a real picture is.
    """
    path = work / "scenes.npz"
    work.mkdir(parents=True, exist_ok=True)
    images = np.stack([render(sample_scene(seed)) for seed in seeds])
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, images=images, first_seed=seeds.start)
    partial.replace(path)
    return path


def train_family(work: Path, family: str, seed: int) -> Path:
    """Trains `family` on one thread on `work`/scenes.npz; returns the path of its record."""
    torch.set_num_threads(1)
    with np.load(work / "scenes.npz", allow_pickle=False) as scenes:
        images, first = scenes["images"], int(scenes["first_seed"])
    prompts = [sample_scene(first + row).prompt for row in range(len(images))]
    model, record = FAMILIES[family].train(images, prompts, seed)
    training.save(work / family, model, record)
    return work / family / "record.json"


def sample_family(work: Path, family: str, seed: int) -> Path:
    """Draws FAKES pictures with the trained `family` to `work`/FAMILY/samples.npz."""
    torch.set_num_threads(1)
    model = training.load(work / family, BUILDERS[family])
    prompts = [sample_scene(number).prompt for number in prompt_seeds(family)]
    images = FAMILIES[family].sample(model, prompts, seed)
    path = work / family / "samples.npz"
    np.savez(path, images=images)
    return path
