"""OWLv2 through transformers' `Owlv2ForObjectDetection` (Minderer et al., NeurIPS 2023)."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from pipeline.corpus.opened import ImageError
from pipeline.models.clip.pixels import whole
from pipeline.models.detectors.base import Detector, Located, Sought, corners
from pipeline.models.precision import computing
from pipeline.models.transfer import Home

# The longest side, in pixels: the processor pads an image to a square, and takes about 100 bytes
# for each pixel of that, which here are 6.3 GiB.
MAX_SIDE = 8192


def fitting(image: Image.Image) -> Image.Image:
    """The image itself; ImageError when its square would be larger than that of MAX_SIDE."""
    if max(image.size) > MAX_SIDE:
        raise ImageError(
            f"image is too long: {image.width}x{image.height}, and OWLv2, which pads it to a "
            f"square, takes no side over {MAX_SIDE:,} pixels"
        )
    return whole(image)


class Owlv2(Detector):
    """Open-vocabulary detection: one pass for each image, whatever the number of phrases.

    A phrase is embedded alone, so that no other phrase changes its box or its score, and each
    different phrase of a batch once. What is longer than the text tower's context (16 tokens in
    the published models) is cut, keeping the end token. The score is the sigmoid of the logit.
    """

    prepare = staticmethod(fitting)

    def locate(self, batch: Sequence[Sought]) -> Located:
        """See `Detector.locate`. The model's boxes are fractions of the image padded to a square,
        at the right and below."""
        import torch

        phrases = list(dict.fromkeys(phrase for one in batch for phrase in one.phrases))
        numbers = {phrase: number for number, phrase in enumerate(phrases)}
        counts = tuple(len(one.phrases) for one in batch)
        asked = torch.zeros(len(batch), max(counts), dtype=torch.int64)  # 0 where there are fewer
        for place, one in enumerate(batch):
            asked[place, : counts[place]] = torch.tensor([numbers[p] for p in one.phrases])
        with computing(self.precision_used):
            with self.autocast():
                queries = self._embed(phrases)
                grid, _ = self.model.image_embedder(self._pixels(batch))
            grid = grid.float()
            features = grid.flatten(1, 2)
            logits, _ = self.model.class_predictor(features, queries.float()[asked])
            boxes = self.model.box_predictor(features, grid)
            best, places = logits.max(1)
            chosen = boxes.gather(1, places[..., None].expand(-1, -1, 4))
            return Located(Home(corners(chosen, self._scale(batch)), best.sigmoid()), counts)

    def _embed(self, phrases: list[str]) -> Any:
        limit = self.model.config.text_config.max_position_embeddings
        tokens = self.processor.tokenizer(
            phrases, padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
        )
        return self.model.owlv2.get_text_features(
            input_ids=tokens["input_ids"].to(self.device),
            attention_mask=tokens["attention_mask"].to(self.device),
        ).pooler_output

    def _pixels(self, batch: Sequence[Sought]) -> Any:
        images = [one.image for one in batch]
        answer = self.processor.image_processor(images, return_tensors="pt", device=self.device)
        return answer["pixel_values"].to(self.device)

    def _scale(self, batch: Sequence[Sought]) -> Any:
        import torch

        sizes = torch.tensor([[one.width, one.height] for one in batch], device=self.device)
        scale = sizes.amax(1, keepdim=True) / sizes
        return scale.repeat(1, 2)[:, None]
