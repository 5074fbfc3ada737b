"""Fakes of the family `gan`: a DCGAN with spectral normalisation and the hinge loss.

After Radford et al. 2015 (architecture), Miyato et al. 2018 (spectral normalisation), with an
average of the generator's weights for sampling. Unconditional. Typical faults: objects of no
certain shape, merged objects, checkered traces of the transposed convolutions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from pipeline.demo.training import Average, Clock, Record, batches, fast, to_pictures, to_tensor


@dataclass(frozen=True)
class Settings:
    """Size and length of the training; a step is one discriminator and one generator update."""

    latent: int = 96
    widths: tuple[int, int, int, int] = (32, 72, 144, 224)
    batch: int = 32
    steps: int = 2800
    rate: float = 2e-4
    decay: float = 0.995


class Generator(nn.Module):
    """A linear layer to 4 x 4, then four transposed convolutions to 64 x 64."""

    def __init__(self, settings: Settings | None = None):
        super().__init__()
        self.settings = settings or Settings()
        widths = self.settings.widths
        self.project = nn.Linear(self.settings.latent, widths[-1] * 16)
        layers: list[nn.Module] = []
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU()]
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1)]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[0], 3, 4, 2, 1)]
        self.layers = nn.Sequential(*layers)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, 0.0, 0.02)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """float [n, 3, 64, 64] in -1..1 of [n, latent]."""
        return torch.tanh(self.layers(self.project(code).unflatten(1, (-1, 4, 4))).float())


class Discriminator(nn.Module):
    """Strided convolutions with spectral normalisation; one score a picture."""

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *widths[:-1]), widths, strict=True):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
        layers += [nn.Flatten(), spectral_norm(nn.Linear(widths[-1] * 16, 1))]
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Scores float32 [n] of float [n, 3, 64, 64]; high means real."""
        return self.layers(pictures).float().squeeze(1)


def train(
    images: np.ndarray, prompts: list[str], seed: int, settings: Settings | None = None
) -> tuple[Generator, Record]:
    """Trains on uint8 [n, 64, 64, 3]; `prompts` are not used (the family is unconditional)."""
    torch.manual_seed(seed)
    generator = Generator(settings)
    settings = generator.settings
    discriminator = Discriminator(settings.widths)
    average = Average(generator, settings.decay)
    up = torch.optim.Adam(generator.parameters(), settings.rate, (0.0, 0.9))
    down = torch.optim.Adam(discriminator.parameters(), 2 * settings.rate, (0.0, 0.9))
    clock = Clock("gan", settings.steps)
    for step, index in enumerate(batches(len(images), settings.batch, settings.steps, seed)):
        real = to_tensor(images[index])
        with fast():
            fake = generator(torch.randn(len(real), settings.latent))
            scores = discriminator(torch.cat([real, fake.detach()]))
            of_real, of_fake = scores.chunk(2)
            critic = torch.relu(1 - of_real).mean() + torch.relu(1 + of_fake).mean()
        down.zero_grad()
        critic.backward()
        down.step()
        discriminator.requires_grad_(False)
        with fast():
            score = discriminator(fake).mean()
        up.zero_grad()
        (-score).backward()
        up.step()
        discriminator.requires_grad_(True)
        average.update(generator, step)
        clock.tick(step, discriminator=critic, generator=-score)
    generator.load_state_dict(average.state)
    record = clock.record(
        generator, family="gan", seed=seed, images=len(images), batch=settings.batch
    )
    return generator.eval(), record


@torch.no_grad()
def sample(model: Generator, prompts: list[str], seed: int) -> np.ndarray:
    """One picture for each entry of `prompts` (their words are not used): uint8 [n, 64, 64, 3]."""
    noise = torch.Generator().manual_seed(seed)
    codes = torch.randn(len(prompts), model.settings.latent, generator=noise)
    return np.concatenate([to_pictures(model(part)) for part in codes.split(100)])
