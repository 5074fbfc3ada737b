"""Fakes of the family `flow`: rectified flow in the latent space of a small autoencoder.

After Liu et al. 2022 and Lipman et al. 2022 (the flow) and Rombach et al. 2022 (the latent
space). Conditioned: a learned text encoder reads the prompt, the network attends to its words,
and sampling uses classifier-free guidance. Typical faults: colours on the wrong object, objects
doubled or left out, soft edges from the autoencoder.
"""

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.demo.attention import attend
from pipeline.demo.training import Average, Clock, Record, batches, fast, to_pictures, to_tensor
from pipeline.demo.training import warm_then_cosine as schedule
from pipeline.demo.words import EMPTY, LENGTH, WORDS, tokenise

GRID = 16  # the latent is [channels, GRID, GRID]


@dataclass(frozen=True)
class Settings:
    """Sizes and lengths of the two trainings; `drop` is the share of prompts left out."""

    channels: int = 8
    picture_widths: tuple[int, int] = (48, 96)
    picture_batch: int = 48
    picture_steps: int = 600
    picture_rate: float = 1.5e-3
    width: int = 64
    text_width: int = 128
    batch: int = 32
    steps: int = 2000
    rate: float = 8e-4
    drop: float = 0.1
    decay: float = 0.997


class Autoencoder(nn.Module):
    """A quarter of the resolution and back; the latent is kept small by a squared penalty."""

    def __init__(self, settings: Settings):
        super().__init__()
        (low, high), channels = settings.picture_widths, settings.channels
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, low, 4, 2, 1), nn.BatchNorm2d(low), nn.SiLU()),
            *(nn.Conv2d(low, high, 4, 2, 1), nn.BatchNorm2d(high), nn.SiLU()),
            nn.Conv2d(high, channels, 3, 1, 1),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv2d(channels, high, 3, 1, 1), nn.BatchNorm2d(high), nn.SiLU()),
            *(nn.ConvTranspose2d(high, low, 4, 2, 1), nn.BatchNorm2d(low), nn.SiLU()),
            nn.ConvTranspose2d(low, 3, 4, 2, 1),
        )

    def losses(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared error of a picture decoded from its noised latent, and the penalty."""
        latent = self.encoder(pictures).float()
        noised = latent + 0.1 * torch.randn_like(latent)
        error = functional.mse_loss(self.decoder(noised).float(), pictures)
        return error, latent.square().mean()


class Residual(nn.Module):
    """Two convolutions, scaled and shifted by the time and prompt vector."""

    def __init__(self, before: int, after: int, context: int):
        super().__init__()
        self.first, self.second = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.into = nn.Conv2d(before, after, 3, 1, 1)
        self.out = nn.Conv2d(after, after, 3, 1, 1)
        self.modulate = nn.Linear(context, 2 * after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        nn.init.zeros_(self.out.weight)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """[n, before, h, w] and [n, context] to [n, after, h, w]."""
        scale, shift = self.modulate(context)[:, :, None, None].chunk(2, 1)
        y = self.second(self.into(functional.silu(self.first(x)))) * (1 + scale) + shift
        return self.skip(x) + self.out(functional.silu(y))


class Attention(nn.Module):
    """Every place of a map attends to all places and to the words of the prompt."""

    def __init__(self, width: int, text_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.query, self.places = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.words, self.out = nn.Linear(text_width, 2 * width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """[n, width, h, w] and [n, LENGTH, text_width] to [n, width, h, w]."""
        flat = self.norm(x).flatten(2).transpose(1, 2)
        both = torch.cat([self.places(flat), self.words(words)], 1)
        key, value = both.unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = self.query(flat).unflatten(2, (self.heads, -1)).transpose(1, 2)
        seen = attend(query, key, value)
        return x + self.out(seen.transpose(1, 2).flatten(2)).transpose(1, 2).view_as(x)


class TextEncoder(nn.Module):
    """Words to vectors: an embedding and one transformer layer."""

    def __init__(self, width: int):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), width)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """float [n, LENGTH, width] of int64 [n, LENGTH]."""
        return self.layer(self.words(tokens) + self.places)


class Flow(nn.Module):
    """Autoencoder, text encoder and the network that tells the velocity of a noised latent."""

    def __init__(self, settings: Settings | None = None):
        super().__init__()
        self.settings = settings or Settings()
        channels, small = self.settings.channels, self.settings.width
        large, text = 3 * small, self.settings.text_width
        context = 2 * text
        self.autoencoder = Autoencoder(self.settings)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.text = TextEncoder(text)
        self.time = nn.Sequential(nn.Linear(64, context), nn.SiLU(), nn.Linear(context, context))
        self.pool = nn.Linear(text, context)
        self.places = nn.Parameter(0.02 * torch.randn(small, GRID, GRID))
        self.into = nn.Conv2d(channels, small, 3, 1, 1)
        self.down = Residual(small, small, context)
        self.shrink = nn.Conv2d(small, large, 2, 2)
        self.middle = nn.ModuleList(Residual(large, large, context) for _ in range(4))
        self.attend = nn.ModuleList(Attention(large, text, 4) for _ in range(3))
        self.grow = nn.ConvTranspose2d(large, small, 2, 2)
        self.up = Residual(2 * small, small, context)
        self.last = Residual(small, small, context)
        self.out = nn.Sequential(
            nn.GroupNorm(8, small), nn.SiLU(), nn.Conv2d(small, channels, 3, 1, 1)
        )
        nn.init.zeros_(self.out[-1].weight)

    def forward(self, x: torch.Tensor, time: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Velocity float32 [n, channels, GRID, GRID] at times [n] in 0..1 (1: a clean latent)."""
        words = self.text(tokens)
        rates = torch.exp(-log(1000.0) * torch.arange(32) / 32) * 100.0
        angles = time[:, None] * rates
        context = self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.pool(words.mean(1))
        context = functional.silu(context)
        high = self.down(self.into(x) + self.places, context)
        low = self.shrink(high)
        for number, block in enumerate(self.middle):
            low = block(low, context)
            if number < len(self.attend):
                low = self.attend[number](low, words)
        joined = self.up(torch.cat([self.grow(low), high], 1), context)
        return self.out(self.last(joined, context)).float()

    @torch.no_grad()
    def encode_all(self, images: np.ndarray) -> torch.Tensor:
        """Standardised latents float32 [n, channels, GRID, GRID]; sets mean and deviation."""
        parts = np.array_split(images, max(1, len(images) // 100))
        with fast():
            latents = torch.cat([self.autoencoder.encoder(to_tensor(p)).float() for p in parts])
        self.mean.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(latents.std((0, 2, 3))[:, None, None])
        return (latents - self.mean) / self.deviation


def _train_autoencoder(model: Flow, images: np.ndarray, seed: int) -> Clock:
    settings = model.settings
    optimiser = torch.optim.Adam(model.autoencoder.parameters(), settings.picture_rate)
    steps = settings.picture_steps
    clock = Clock("flow autoencoder", steps)
    for step, index in enumerate(batches(len(images), settings.picture_batch, steps, seed)):
        for group in optimiser.param_groups:
            group["lr"] = settings.picture_rate * schedule(step, steps, 50)
        with fast():
            error, penalty = model.autoencoder.losses(to_tensor(images[index]))
        optimiser.zero_grad()
        (error + 1e-3 * penalty).backward()
        optimiser.step()
        clock.tick(step, error=error, penalty=penalty)
    model.autoencoder.eval()
    return clock


def train(
    images: np.ndarray, prompts: list[str], seed: int, settings: Settings | None = None
) -> tuple[Flow, Record]:
    """Trains the autoencoder on uint8 [n, 64, 64, 3], then the flow on latents and `prompts`."""
    torch.manual_seed(seed)
    model = Flow(settings)
    settings = model.settings
    first = _train_autoencoder(model, images, seed)
    latents, tokens = model.encode_all(images), tokenise(prompts)
    rest = [p for name, p in model.named_parameters() if not name.startswith("autoencoder.")]
    optimiser = torch.optim.AdamW(rest, settings.rate, weight_decay=0.01)
    average = Average(model, settings.decay)
    clock = Clock("flow", settings.steps)
    clock.follows(first)
    for step, index in enumerate(batches(len(latents), settings.batch, settings.steps, seed + 1)):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * schedule(step, settings.steps)
        clean, words = latents[index], tokens[index].clone()
        words[torch.rand(len(words)) < settings.drop] = EMPTY
        noise, time = torch.randn_like(clean), torch.sigmoid(torch.randn(len(clean)) - 0.2)
        mixed = torch.lerp(noise, clean, time[:, None, None, None])
        with fast():
            velocity = model(mixed, time, words)
        loss = functional.mse_loss(velocity, clean - noise)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(rest, 1.0)
        optimiser.step()
        average.update(model, step)
        clock.tick(step, velocity_error=loss)
    model.load_state_dict(average.state)
    record = clock.record(model, family="flow", seed=seed, images=len(images), batch=settings.batch)
    return model.eval(), record


@torch.no_grad()
def sample(
    model: Flow, prompts: list[str], seed: int, steps: int = 30, guidance: float = 2.5
) -> np.ndarray:
    """One picture for each prompt: uint8 [n, 64, 64, 3]; Euler steps from noise to latent."""
    generator = torch.Generator().manual_seed(seed)
    channels = model.settings.channels
    pictures = []
    for tokens in tokenise(prompts).split(50):
        x = torch.randn(len(tokens), channels, GRID, GRID, generator=generator)
        both = torch.cat([tokens, torch.full_like(tokens, EMPTY)])
        for step in range(steps):
            time = torch.full((len(both),), step / steps)
            with fast():
                told, untold = model(torch.cat([x, x]), time, both).chunk(2)
            x = x + (untold + guidance * (told - untold)) / steps
        pictures.append(to_pictures(model.autoencoder.decoder(x * model.deviation + model.mean)))
    return np.concatenate(pictures)
