"""Captions through any checkpoint that transformers loads as `AutoModelForImageTextToText`."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from pipeline.errors import UserError
from pipeline.models.captioners.generation import Caption, Generation, end_ids, read, seeded, writer
from pipeline.models.clip.pixels import whole
from pipeline.models.precision import computing

_BLANK = (64, 64)  # pixels of the image that a prompt is tried with


class VisionLanguage:
    """A loaded model that takes an image and a prompt, and writes a text.

    The prompt goes through the processor's chat template where it has one, with the image before
    it in the user's turn, else to the processor as it is. A caption is the newly written text:
    the prompt is not repeated.
    """

    def __init__(self, model: Any, processor: Any, device: Any, precision: str):
        self.model, self.processor, self.device = model, processor, device
        self.precision_used, self.device_used = precision, str(device)
        self._writer, self._ends = writer(model), end_ids(model)
        self._prompts: dict[str, tuple[str, bool]] = {}
        # the image itself: what becomes of it depends on the processor, and it takes batches
        self.prepare = whole

    def caption(
        self,
        prepared: Sequence[Image.Image],
        generation: Generation | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Caption]:
        """One caption for each RGB image.

        When sampling, `seeds` has one seed for each image, and images are captioned one by one:
        what is drawn for one depends on no other. UserError without a prompt, for a prompt that
        the processor does not take, and for more tokens than the model has positions.
        """
        generation = generation or Generation()
        if generation.prompt is None:
            raise UserError(
                f"a {type(self.model).__name__} writes nothing without a prompt",
                hint="set `prompt`, such as `prompt: Describe the image in one sentence.`, or the "
                "task that the model's card names, such as <CAPTION>",
            )
        if generation.prompt not in self._prompts:
            self._prompts[generation.prompt] = self._tried(generation.prompt)
        if not generation.do_sample:
            return self._write(prepared, generation)
        captions = []
        for one, seed in zip(prepared, seeds or [], strict=True):
            with seeded(seed, self.device):
                captions += self._write([one], generation)
        return captions

    def _write(self, images: Sequence[Image.Image], generation: Generation) -> list[Caption]:
        import torch

        text, chat = self._prompts[generation.prompt]
        inputs = {
            name: value.to(self.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in self._inputs(images, text, chat).items()
            if isinstance(value, torch.Tensor)
        }
        self._check_length(inputs["input_ids"].shape[1], generation.max_new_tokens)
        with computing(self.precision_used):
            output = self.model.generate(**inputs, **generation.arguments())
            tokens, chosen, counts, means = read(output, self._ends)
        # without the padding, which need not be a special token
        kept = zip(tokens.cpu(), chosen.cpu(), strict=True)
        written = [row[mask].tolist() for row, mask in kept]
        texts = self.processor.batch_decode(written, skip_special_tokens=True)
        return [
            Caption(text.strip(), count, mean)
            for text, count, mean in zip(texts, counts, means, strict=True)
        ]

    def _inputs(self, images: Sequence[Image.Image], text: str, chat: bool) -> Any:
        """The processor's tensors; prompts of different length are padded where nothing follows."""
        options: dict[str, Any] = {"return_tensors": "pt", "padding": True}
        if not self._writer.config.is_encoder_decoder:
            options["padding_side"] = "left"  # what is written must follow the prompt at once
        begin = self.processor.tokenizer.bos_token
        if chat and begin is not None and text.startswith(begin):
            options["add_special_tokens"] = False  # the template has written it already
        pictures = [[image] for image in images] if chat else list(images)
        return self.processor(images=pictures, text=[text] * len(images), **options)

    def _tried(self, prompt: str) -> tuple[str, bool]:
        """The text for the processor, and whether a chat template made it."""
        text, chat = prompt, bool(getattr(self.processor, "chat_template", None))
        try:
            if chat:
                content = [{"type": "image"}, {"type": "text", "text": prompt}]
                turns = [{"role": "user", "content": content}]
                text = self.processor.apply_chat_template(turns, add_generation_prompt=True)
            self._inputs([Image.new("RGB", _BLANK)], text, chat)
        except Exception as problem:  # templates and processors raise whatever they like
            raise UserError(
                f"the model's processor does not take this prompt: {problem}",
                f"prompt: {prompt}",
                "write it as the model's card does; without a chat template, the mark where the "
                "image goes (such as <image>) may be a part of it",
            ) from problem
        return text, chat

    def _check_length(self, prompt: int, new: int) -> None:
        config = self._writer.config.get_text_config(decoder=True)
        positions = getattr(config, "max_position_embeddings", None)
        used = 1 if self._writer.config.is_encoder_decoder else prompt
        if positions is not None and used + new > positions:
            raise UserError(
                f"max_new_tokens is {new}, and this captioner ends at {positions - used} after "
                "image and prompt",
                hint=f"set max_new_tokens to at most {max(positions - used, 1)}",
            )
