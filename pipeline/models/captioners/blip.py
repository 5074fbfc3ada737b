"""Captions through transformers' `BlipForConditionalGeneration`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pipeline.errors import UserError
from pipeline.models.captioners.generation import Caption, Generation, end_ids, read, seeded
from pipeline.models.precision import computing
from pipeline.models.transfer import to_device


class Blip:
    """A loaded BLIP captioner, base or large.

    A `prompt` is BLIP's conditional prefix: the model goes on writing the sentence that it begins,
    and the caption is that whole sentence, prefix included, as BLIP's own output is. Counted are
    the tokens after it.
    """

    def __init__(self, model: Any, processor: Any, device: Any, precision: str):
        self.model, self.processor, self.device = model, processor, device
        self.precision_used, self.device_used = precision, str(device)
        self.max_tokens: int = model.config.text_config.max_position_embeddings - 1
        self._pixels = _Pixels(processor.image_processor)
        self._ends = end_ids(model)
        # what `caption` takes, of one RGB image: uint8 [h, w, 3] at the model's size; any thread
        # or process may make it
        self.prepare = self._pixels.prepare

    def caption(
        self,
        prepared: Sequence[Any],
        generation: Generation | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Caption]:
        """One caption for each prepared image.

        When sampling, `seeds` has one seed for each image, and images are captioned one by one:
        what is drawn for one depends on no other. UserError for more tokens than BLIP has
        positions.
        """
        generation = generation or Generation()
        self._check(generation)
        if not generation.do_sample:
            return self._write(prepared, generation)
        captions = []
        for one, seed in zip(prepared, seeds or [], strict=True):
            with seeded(seed, self.device):
                captions += self._write([one], generation)
        return captions

    def _write(self, prepared: Sequence[Any], generation: Generation) -> list[Caption]:
        from pipeline.models.captioners.shared_image import shared_image

        more = self._prefix(generation, len(prepared)) | shared_image(self.model.text_decoder)
        with computing(self.precision_used):
            pixels = self._pixels.batch(prepared, self.device).to(self.model.dtype)
            output = self.model.generate(pixels, **more, **generation.arguments())
            _, _, counts, means = read(output, self._ends)
        texts = self.processor.batch_decode(output.sequences, skip_special_tokens=True)
        return [
            Caption(text.strip(), count, mean)
            for text, count, mean in zip(texts, counts, means, strict=True)
        ]

    def _prefix(self, generation: Generation, count: int) -> dict[str, Any]:
        """The tokens of the prompt, once for each image."""
        import torch

        if generation.prompt is None:
            return {}
        ids = torch.tensor(self._ids(generation.prompt), device=self.device).repeat(count, 1)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def _ids(self, prompt: str) -> list[int]:
        return self.processor(text=prompt)["input_ids"]

    def _check(self, generation: Generation) -> None:
        prefix = 0 if generation.prompt is None else len(self._ids(generation.prompt)) - 2
        limit = self.max_tokens - prefix  # begin and end token are no part of the prefix
        if generation.max_new_tokens > limit:
            raise UserError(
                f"max_new_tokens is {generation.max_new_tokens}, and this captioner ends at "
                f"{limit}" + (" after its prompt" if prefix else ""),
                hint=f"set max_new_tokens to at most {max(limit, 1)}",
            )


class _Pixels:
    """BLIP's image processor, cut in two: what one image needs, and what a batch can share.

    Bit for bit what the processor gives: the resizing and the arithmetic are its own, without the
    copies between them, and normalising happens on the device, so that bytes travel instead of
    floats. A processor of another make is applied whole to each image.
    """

    def __init__(self, processor: Any):
        self._processor = processor
        self._cut = (
            getattr(processor, "backend", None) == "torchvision"
            and processor.do_resize
            and not getattr(processor, "do_center_crop", None)
            and not getattr(processor, "do_pad", None)
        )

    def prepare(self, image: Image.Image) -> Any:
        """Of an RGB image: uint8 [h, w, 3], or float32 [3, h, w] from an unknown processor."""
        import torch

        own = self._processor
        if not self._cut:
            return own(images=image, return_tensors="pt")["pixel_values"][0].numpy()
        # the bytes stay as PIL has them, which is also the order that resizes fastest
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        small = own.resize(image=pixels, size=own.size, resample=own.resample)
        return small[0].permute(1, 2, 0).contiguous().numpy()

    def batch(self, prepared: Sequence[Any], device: Any) -> Any:
        """The tensor [n, 3, h, w] on `device`; copying to a GPU is not waited for."""
        batch = to_device(prepared, device)
        if not self._cut:
            return batch
        own = self._processor
        return own.rescale_and_normalize(
            batch.permute(0, 3, 1, 2).contiguous(),
            own.do_rescale,
            own.rescale_factor,
            own.do_normalize,
            tuple(own.image_mean),
            tuple(own.image_std),
        )
