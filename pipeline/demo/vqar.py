"""Fakes of the family `vqar`: a VQ-VAE and an autoregressive transformer over its codes.

After van den Oord et al. 2017 and Esser et al. 2021 ("taming transformers", without the
discriminator). Conditioned: the prompt's words are the prefix of the sequence. Typical faults:
blocks of eight pixels that do not fit their neighbours, objects cut off or of two minds.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.demo.attention import attend
from pipeline.demo.training import (
    Clock,
    Record,
    batches,
    fast,
    to_pictures,
    to_tensor,
    warm_then_cosine,
)
from pipeline.demo.words import LENGTH, WORDS, tokenise

GRID = 8  # a picture is GRID x GRID codes


@dataclass(frozen=True)
class Settings:
    """Sizes and lengths of the two trainings, one after the other."""

    widths: tuple[int, int, int] = (48, 96, 160)
    codes: int = 512
    code_width: int = 32
    commitment: float = 0.25
    picture_batch: int = 48
    picture_steps: int = 800
    picture_rate: float = 1.5e-3
    width: int = 160
    layers: int = 6
    heads: int = 4
    batch: int = 40
    steps: int = 1400
    rate: float = 1.2e-3


class Codec(nn.Module):
    """Encoder to GRID x GRID vectors, the nearest entry of a codebook for each, decoder."""

    def __init__(self, settings: Settings):
        super().__init__()
        widths, inner = settings.widths, settings.code_width
        down: list[nn.Module] = []
        for before, after in zip((3, *widths[:-1]), widths, strict=True):
            down += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.SiLU()]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], inner, 3, 1, 1))
        up: list[nn.Module] = [nn.Conv2d(inner, widths[-1], 3, 1, 1)]
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [nn.BatchNorm2d(before), nn.SiLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        up += [nn.BatchNorm2d(widths[0]), nn.SiLU(), nn.ConvTranspose2d(widths[0], 3, 4, 2, 1)]
        self.decoder = nn.Sequential(*up)
        self.register_buffer("book", torch.randn(settings.codes, inner))
        self.register_buffer("uses", torch.ones(settings.codes))
        self.register_buffer("sums", self.book.clone())

    def numbers(self, vectors: torch.Tensor) -> torch.Tensor:
        """int64 [m]: the nearest code of each of float32 [m, code_width]."""
        distance = self.book.square().sum(1) - 2 * vectors @ self.book.T
        return distance.argmin(1)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Code numbers int64 [n, GRID * GRID], row by row."""
        maps = self.encoder(pictures).float().permute(0, 2, 3, 1)
        return self.numbers(maps.flatten(0, 2)).view(len(pictures), -1)

    def decode(self, numbers: torch.Tensor) -> torch.Tensor:
        """float [n, 3, 64, 64] of code numbers int64 [n, GRID * GRID]."""
        return self.decoder(self.book[numbers].unflatten(1, (GRID, GRID)).permute(0, 3, 1, 2))

    def losses(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean squared error, and the commitment of the encoder; moves the codebook too."""
        maps = self.encoder(pictures).float()
        vectors = maps.permute(0, 2, 3, 1).flatten(0, 2)
        numbers = self.numbers(vectors.detach())
        if self.training:
            self._move_codebook(vectors.detach(), numbers)
        chosen = self.book[numbers].view(len(maps), GRID, GRID, -1).permute(0, 3, 1, 2)
        commitment = functional.mse_loss(maps, chosen)
        straight_through = maps + (chosen - maps).detach()
        return functional.mse_loss(self.decoder(straight_through).float(), pictures), commitment

    @torch.no_grad()
    def _move_codebook(self, vectors: torch.Tensor, numbers: torch.Tensor) -> None:
        """Moving averages of the vectors of each code; a code out of use starts anew."""
        counts = torch.bincount(numbers, minlength=len(self.book)).float()
        sums = torch.zeros_like(self.book).index_add_(0, numbers, vectors)
        self.uses.lerp_(counts, 0.02)
        self.sums.lerp_(sums, 0.02)
        dead = (self.uses < 0.05).nonzero().squeeze(1)
        if len(dead):
            fresh = vectors[torch.randint(len(vectors), (len(dead),))]
            self.sums[dead], self.uses[dead] = fresh, 1.0
        self.book.copy_(self.sums / self.uses.clamp_min(1e-5)[:, None])


class Block(nn.Module):
    """A pre-norm transformer layer with causal attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, length, width] to the same."""
        q, k, v = self.qkv(self.first(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = attend(q, k, v, causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.second(x))


class VQAR(nn.Module):
    """The codec, and a transformer that reads words then codes and tells the next code."""

    def __init__(self, settings: Settings | None = None):
        super().__init__()
        self.settings = settings or Settings()
        width = self.settings.width
        self.codec = Codec(self.settings)
        self.words = nn.Embedding(len(WORDS), width)
        self.word_places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.pieces = nn.Embedding(self.settings.codes, width)
        self.rows = nn.Parameter(0.02 * torch.randn(GRID, 1, width))
        self.columns = nn.Parameter(0.02 * torch.randn(1, GRID, width))
        self.blocks = nn.ModuleList(
            Block(width, self.settings.heads) for _ in range(self.settings.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.settings.codes)
        for table in (self.words, self.pieces):
            nn.init.normal_(table.weight, 0.0, 0.02)

    def forward(self, tokens: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Logits float32 [n, k + 1, codes] of the codes that follow the first 0..k given ones.

        `tokens` int64 [n, LENGTH] are the prompt, `codes` int64 [n, k] the codes so far, k < 64.
        A place is told by where its *next* code lies in the grid.
        """
        places = (self.rows + self.columns).flatten(0, 1)
        known = codes.shape[1]
        sequence = torch.cat([self.words(tokens) + self.word_places, self.pieces(codes)], 1)
        guide = torch.cat([places.new_zeros(LENGTH - 1, places.shape[1]), places[: known + 1]])
        x = sequence + guide
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, LENGTH - 1 :])).float()


def _train_codec(codec: Codec, images: np.ndarray, seed: int, settings: Settings) -> Clock:
    optimiser = torch.optim.Adam(codec.parameters(), settings.picture_rate)
    steps = settings.picture_steps
    clock = Clock("vqar codec", steps)
    for step, index in enumerate(batches(len(images), settings.picture_batch, steps, seed)):
        for group in optimiser.param_groups:
            group["lr"] = settings.picture_rate * warm_then_cosine(step, steps, 50)
        with fast():
            error, commitment = codec.losses(to_tensor(images[index]))
        optimiser.zero_grad()
        (error + settings.commitment * commitment).backward()
        optimiser.step()
        clock.tick(step, error=error, commitment=commitment)
    codec.eval()
    return clock


def train(
    images: np.ndarray, prompts: list[str], seed: int, settings: Settings | None = None
) -> tuple[VQAR, Record]:
    """Trains the codec on uint8 [n, 64, 64, 3], then the transformer on its codes and `prompts`."""
    torch.manual_seed(seed)
    model = VQAR(settings)
    settings = model.settings
    first = _train_codec(model.codec, images, seed, settings)
    with torch.no_grad(), fast():
        parts = np.array_split(images, max(1, len(images) // 100))
        codes = torch.cat([model.codec.encode(to_tensor(part)) for part in parts])
    tokens = tokenise(prompts)
    rest = [p for name, p in model.named_parameters() if not name.startswith("codec.")]
    optimiser = torch.optim.AdamW(rest, settings.rate, (0.9, 0.98), weight_decay=0.02)
    clock = Clock("vqar transformer", settings.steps)
    clock.follows(first)
    for step, index in enumerate(batches(len(codes), settings.batch, settings.steps, seed + 1)):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * warm_then_cosine(step, settings.steps)
        wanted = codes[index]
        with fast():
            logits = model(tokens[index], wanted[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(rest, 1.0)
        optimiser.step()
        clock.tick(step, nats_per_code=loss)
    record = clock.record(model, family="vqar", seed=seed, images=len(images), batch=settings.batch)
    return model.eval(), record


@torch.no_grad()
def sample(
    model: VQAR, prompts: list[str], seed: int, temperature: float = 0.95, keep: int = 60
) -> np.ndarray:
    """One picture for each prompt: uint8 [n, 64, 64, 3]; draws among the `keep` likeliest codes."""
    noise = torch.Generator().manual_seed(seed)
    pictures = []
    for tokens in tokenise(prompts).split(100):
        codes = torch.zeros(len(tokens), 0, dtype=torch.int64)
        for _ in range(GRID * GRID):
            with fast():
                logits = model(tokens, codes)[:, -1] / temperature
            value, number = logits.topk(min(keep, logits.shape[1]), 1)
            drawn = torch.multinomial(value.softmax(1), 1, generator=noise)
            codes = torch.cat([codes, number.gather(1, drawn)], 1)
        pictures.append(to_pictures(model.codec.decode(codes)))
    return np.concatenate(pictures)
