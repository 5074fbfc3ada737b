"""What all captioners share: how a caption is searched for, and what is known of it afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pydantic import Field, model_validator

from pipeline.spec import Parameters

# of a checkpoint's generation_config, what belongs to its format and not to anyone's taste
_FORMAT = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
_SAMPLING = ("temperature", "top_p", "top_k")


@dataclass(frozen=True)
class Caption:
    """A caption; `num_tokens` generated, and the mean of their log-probabilities in nats.

    Counted are the tokens that the model chose: no begin token, no prompt, no padding, but the end
    token, when it was reached. The probabilities are the model's own, before a temperature, a
    penalty or a cut of the vocabulary; under beam search those of the beam that won. Of a plugin's
    captions they are None.
    """

    text: str
    num_tokens: int | None
    mean_logprob: float | None


class Generation(Parameters):
    """How a caption is searched for: beams (1: greedy), or sampling.

    What is not stated is transformers' own default, never what the checkpoint's
    generation_config says: of that only token ids and forced or forbidden tokens count. `seed`
    and the image's id decide what is sampled for it.
    """

    prompt: str | None = None
    num_beams: int = Field(3, ge=1)
    max_new_tokens: int = Field(40, ge=1)
    do_sample: bool = False
    temperature: float | None = Field(None, gt=0)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)  # 0: no cut; transformers' default is 50
    length_penalty: float | None = None
    early_stopping: bool | None = None
    no_repeat_ngram_size: int | None = Field(None, ge=1)
    repetition_penalty: float | None = Field(None, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _no_idle_option(self) -> "Generation":
        idle = [name for name in _SAMPLING if getattr(self, name) is not None]
        if idle and not self.do_sample:
            raise ValueError(f"`{idle[0]}` has no effect without `do_sample: true`")
        idle = [n for n in ("length_penalty", "early_stopping") if getattr(self, n) is not None]
        if idle and self.num_beams == 1:
            raise ValueError(f"`{idle[0]}` has no effect with `num_beams: 1`")
        return self

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `generate`; its output keeps the logits of every step."""
        stated = {
            name: getattr(self, name)
            for name in Generation.model_fields
            if name not in ("prompt", "seed") and getattr(self, name) is not None
        }
        if self.do_sample:
            # a draw from NaN raises, on a GPU for good; the logits that are kept still have it
            stated["remove_invalid_values"] = True
        return {**stated, "return_dict_in_generate": True, "output_logits": True}


def seed_of(seed: int, image_id: str) -> int:
    """The seed for one image, 0 to 2**63 - 1: the same in any batch, part or process."""
    return int.from_bytes(sha256(f"{seed}:{image_id}".encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int, device: Any) -> Iterator[None]:
    """Within it torch draws what `seed` decides; afterwards as if nothing had been drawn."""
    import torch

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def keep_format_only(model: Any) -> None:
    """Leaves the checkpoint no say in the search: only its token ids and forced tokens stay."""
    from transformers import GenerationConfig

    for module in model.modules():
        config = getattr(module, "generation_config", None)
        if config is not None:
            kept = {name: getattr(config, name, None) for name in _FORMAT}
            if kept["pad_token_id"] is None:  # what transformers does, and warns of in every batch
                kept["pad_token_id"] = next(iter(_ids(kept["eos_token_id"])), None)
            module.generation_config = GenerationConfig(**kept)


def writer(model: Any) -> Any:
    """The part whose `generate` runs: BLIP, BLIP-2 and their kin hand over to a language model."""
    if "generate" in vars(type(model)):
        for name in ("language_model", "text_decoder"):
            inner = getattr(model, name, None)
            if hasattr(inner, "generate"):
                return inner
    return model


def end_ids(model: Any) -> list[int]:
    """The token ids that end a text of this model."""
    if model.config.model_type == "blip":  # which tells its decoder so itself
        return _ids(model.config.text_config.sep_token_id)
    return _ids(writer(model).generation_config.eos_token_id)


def _ids(value: int | Sequence[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


def read(output: Any, ends: Sequence[int]) -> tuple[Any, Any, list[int], list[float]]:
    """The new tokens [n, s] of `generate`'s output, which of them the model chose, and the facts.

    `ends` are the ids of end tokens. Gives the tokens, a bool tensor [n, s] that is true up to
    the first end token and with it, and for each caption their number and mean log-probability
    (NaN where the model's output was not finite).
    """
    import torch

    beams = getattr(output, "beam_indices", None)
    steps = len(output.logits) if beams is None else beams.shape[1]
    tokens = output.sequences[:, output.sequences.shape[1] - steps :]
    ended = torch.isin(tokens, torch.tensor(list(ends), device=tokens.device))
    chosen = (ended.cumsum(1) - ended.long()) == 0
    if beams is not None:  # nothing was chosen where no beam ever won: the model's output is NaN
        chosen &= beams >= 0
    total = torch.zeros(len(tokens), device=tokens.device)
    for step in range(steps):  # step by step: all at once would copy the largest tensors there are
        logits = output.logits[step]
        if beams is not None:
            logits = logits[beams[:, step].clamp(min=0).long()]
        logits = logits.float()
        picked = logits.gather(1, tokens[:, step : step + 1]).squeeze(1) - logits.logsumexp(1)
        total += picked.where(chosen[:, step], 0.0)
    counts = chosen.sum(1)
    return tokens, chosen, counts.tolist(), (total / counts).tolist()
