"""Captions through transformers' `BlipForConditionalGeneration`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from pipeline.errors import UserError
from pipeline.models import checkpoints
from pipeline.stages import ModelName, Parameters, tuning


@dataclass(frozen=True)
class Caption:
    """A caption; `num_tokens` generated, and the mean of their log-probabilities in nats.

    Counted are the tokens that the model chose: not the begin token, not padding, but the end
    token, when it was reached. Under beam search these are the probabilities of the beam that won.
    """

    text: str
    num_tokens: int
    mean_logprob: float


class CaptionerSpec(Parameters):
    """Which captioner: a folder written by `save_pretrained`, or a name on the hub."""

    model: ModelName
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: str = tuning("auto")

    def identity(self) -> dict[str, Any]:
        """A hash of the local files, or the hub's name and commit."""
        return checkpoints.identity(self.model, "config.json")

    def load(self) -> "Captioner":
        """The loaded model; UserError when it is not there, or is no BLIP captioner."""
        import torch
        from transformers import AutoConfig, BlipForConditionalGeneration, BlipProcessor
        from transformers.utils.logging import disable_progress_bar

        from pipeline.models.device import resolve

        disable_progress_bar()  # of reading weights; it would run through ours
        device = resolve(self.device)
        folder = checkpoints.local_folder(self.model)
        name = self.model if folder is None else str(folder)
        revision = "main"  # means nothing to a folder
        if folder is None:
            revision = self.identity()["revision"]  # pins the files to those of the fingerprint
            if revision is None:
                raise checkpoints.not_loadable("captioner", self.model, checkpoints.OUT_OF_REACH)
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        try:
            family = AutoConfig.from_pretrained(name, revision=revision).model_type
            if family != "blip":
                raise ValueError(f"it is a '{family}' model, not a BLIP captioner")
            model, report = BlipForConditionalGeneration.from_pretrained(
                name,
                revision=revision,
                dtype=dtypes[self.precision],
                weights_only=True,
                output_loading_info=True,
            )
            if report["missing_keys"] or report["mismatched_keys"]:
                lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
                raise ValueError(f"{len(lacking)} weights of a captioner are missing: {lacking[0]}")
            processor = BlipProcessor.from_pretrained(name, revision=revision)
        except Exception as problem:  # transformers and the hub raise some ten kinds of error here
            raise checkpoints.not_loadable("captioner", self.model, problem) from problem
        return Captioner(model.to(device).eval(), processor, device)


class Captioner:
    """A loaded BLIP captioner."""

    def __init__(self, model: Any, processor: Any, device: Any):
        self.model, self.processor, self.device = model, processor, device
        self.max_tokens: int = model.config.text_config.max_position_embeddings - 1

    def prepare(self, image: Image.Image) -> Any:
        """What `caption` takes, of one RGB image: the processor's tensor; any thread may do it."""
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]

    def caption(
        self, prepared: Sequence[Any], num_beams: int = 3, max_new_tokens: int = 40
    ) -> list[Caption]:
        """Captions of prepared images: beam search, greedy for `num_beams` 1, never sampling."""
        import torch

        if max_new_tokens > self.max_tokens:
            raise UserError(
                f"max_new_tokens is {max_new_tokens}, and this captioner ends at {self.max_tokens}",
                hint=f"set max_new_tokens to at most {self.max_tokens}",
            )
        pixels = torch.stack(list(prepared))
        with torch.inference_mode():
            output = self.model.generate(
                pixels.to(self.device, self.model.dtype),
                num_beams=num_beams,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                return_dict_in_generate=True,
                output_scores=True,
            )
            return self._captions(output, greedy=num_beams == 1)

    def _captions(self, output: Any, greedy: bool) -> list[Caption]:
        """Texts and log-probabilities of one `generate` output."""
        # beam search keeps log-probabilities as its scores, greedy search plain logits
        scores = self.model.text_decoder.compute_transition_scores(
            output.sequences,
            output.scores,
            None if greedy else output.beam_indices,
            normalize_logits=greedy,
        )
        tokens = output.sequences[:, -scores.shape[1] :]
        ends = tokens == self.model.config.text_config.sep_token_id
        chosen = (ends.cumsum(1) - ends.long()) == 0  # up to the first end token, and with it
        counts = chosen.sum(1)
        means = scores.float().where(chosen, 0.0).sum(1) / counts
        texts = self.processor.batch_decode(output.sequences, skip_special_tokens=True)
        return [
            Caption(text.strip(), count, mean)
            for text, count, mean in zip(texts, counts.tolist(), means.tolist(), strict=True)
        ]
