"""Fakes of the family `vae`: a convolutional variational autoencoder (Kingma and Welling 2013).

Unconditional: a picture is decoded from a draw of a Gaussian mixture fitted to the codes of the
training pictures after the training (Ghosh et al. 2020, "ex-post density estimation": draws of the
standard prior itself show hardly more than ghosts). Typical faults: blur, ghosts of objects that
the decoder could not decide on, texture washed out.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import nn

from pipeline.demo.training import (
    Clock,
    Record,
    batches,
    fast,
    to_pictures,
    to_tensor,
    warm_then_cosine,
)


@dataclass(frozen=True)
class Settings:
    """Size and length of the training; `sigma` is the decoder's fixed noise in -1..1 units."""

    latent: int = 96
    widths: tuple[int, int, int, int] = (48, 96, 160, 256)
    sigma: float = 0.16
    batch: int = 48
    steps: int = 1400
    rate: float = 2e-3
    components: int = 60


class VAE(nn.Module):
    """Four strided convolutions down to 4 x 4, a Gaussian code, four transposed ones back."""

    def __init__(self, settings: Settings | None = None):
        super().__init__()
        self.settings = settings or Settings()
        widths, latent = self.settings.widths, self.settings.latent
        down: list[nn.Module] = []
        for before, after in zip((3, *widths[:-1]), widths, strict=True):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.SiLU()]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(widths[-1] * 16, 2 * latent))
        self.project = nn.Linear(latent, widths[-1] * 16)
        up: list[nn.Module] = []
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [nn.BatchNorm2d(before), nn.SiLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        self.decoder = nn.Sequential(
            *up,
            nn.BatchNorm2d(widths[0]),
            nn.SiLU(),
            nn.ConvTranspose2d(widths[0], 3, 4, 2, 1),
        )
        count = self.settings.components
        self.register_buffer("shares", torch.full((count,), 1 / count))
        self.register_buffer("centres", torch.zeros(count, latent))
        self.register_buffer("factors", torch.eye(latent).repeat(count, 1, 1))

    def encode(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance [n, latent] of float [n, 3, 64, 64]."""
        mean, log_variance = self.encoder(pictures).float().chunk(2, 1)
        return mean, log_variance.clamp(-12, 4)

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """float [n, 3, 64, 64] of [n, latent]."""
        return self.decoder(self.project(code).unflatten(1, (-1, 4, 4)))

    def losses(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared error per picture over 2 sigma^2, and the divergence from the prior (nats)."""
        mean, log_variance = self.encode(pictures)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        error = (self.decode(code).float() - pictures).square().flatten(1).sum(1).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return error / (2 * self.settings.sigma**2), divergence

    @torch.no_grad()
    def fit_mixture(self, images: np.ndarray, seed: int) -> None:
        """Fits the mixture that `draw` draws from to the codes of uint8 [n, 64, 64, 3]."""
        with fast():
            parts = np.array_split(images, max(1, len(images) // 200))
            codes = torch.cat([self.encode(to_tensor(part))[0] for part in parts])
        mixture = GaussianMixture(
            len(self.shares), random_state=seed, reg_covar=3e-2, max_iter=25, tol=1e-2
        )
        with warnings.catch_warnings():  # a few rounds are enough here, whatever the last gain
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(codes.double().numpy())
        self.shares.copy_(torch.from_numpy(mixture.weights_))
        self.centres.copy_(torch.from_numpy(mixture.means_))
        self.factors.copy_(torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)))

    def draw(self, count: int, noise: torch.Generator) -> torch.Tensor:
        """Codes float32 [count, latent] from the mixture."""
        which = torch.multinomial(self.shares, count, replacement=True, generator=noise)
        normal = torch.randn(count, self.centres.shape[1], 1, generator=noise)
        return self.centres[which] + (self.factors[which] @ normal).squeeze(2)


def train(
    images: np.ndarray, prompts: list[str], seed: int, settings: Settings | None = None
) -> tuple[VAE, Record]:
    """Trains on uint8 [n, 64, 64, 3]; `prompts` are not used (the family is unconditional)."""
    torch.manual_seed(seed)
    model = VAE(settings)
    settings = model.settings
    optimiser = torch.optim.Adam(model.parameters(), settings.rate)
    clock = Clock("vae", settings.steps)
    for step, index in enumerate(batches(len(images), settings.batch, settings.steps, seed)):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * warm_then_cosine(step, settings.steps)
        with fast():
            error, divergence = model.losses(to_tensor(images[index]))
        optimiser.zero_grad()
        (error + min(1.0, (step + 1) / 400) * divergence).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 500.0)
        optimiser.step()
        clock.tick(step, error=error, divergence=divergence)
    model.eval().fit_mixture(images, seed)
    record = clock.record(model, family="vae", seed=seed, images=len(images), batch=settings.batch)
    return model, record


@torch.no_grad()
def sample(model: VAE, prompts: list[str], seed: int) -> np.ndarray:
    """One picture for each entry of `prompts` (their words are not used): uint8 [n, 64, 64, 3]."""
    noise = torch.Generator().manual_seed(seed)
    codes = model.draw(len(prompts), noise)
    return np.concatenate([to_pictures(model.decode(part)) for part in codes.split(100)])
