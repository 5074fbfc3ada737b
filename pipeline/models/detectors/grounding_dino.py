"""Grounding DINO through `GroundingDinoForObjectDetection` of transformers (Liu et al., 2024)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.models.detectors.base import Detector, Located, Sought, corners
from pipeline.models.precision import computing
from pipeline.models.transfer import Home

_STOPS = re.compile(r"[.?\s]+")  # what the model takes for the end of a phrase, and white space


@dataclass(frozen=True)
class Prompt:
    """One pass's text: token ids, and for each phrase its number and its span of tokens."""

    tokens: list[int]
    numbers: list[int]
    spans: list[tuple[int, int]]


class GroundingDino(Detector):
    """Detection by a prompt `phrase . phrase .`: all phrases of an image in one pass.

    Phrases are lower-cased. A full stop or question mark within one ends a phrase for this model,
    so a space takes its place; a phrase of nothing else has no score. What does not fit into the
    text limit (256 tokens in the published models) goes into further passes over the same pixels;
    a phrase that alone is longer is cut. Since words and image are fused, the other phrases of
    its prompt can change a phrase's box: they are asked for in the order of the caption.

    A box's score for a phrase is the mean of the sigmoids over the phrase's own tokens, as in the
    authors' code when phrases are given (`positive_maps @ logits.T`, inference_on_a_image.py in
    IDEA-Research/GroundingDINO), not a label read back from the tokens above a threshold.
    """

    @staticmethod
    def check(model: Any, processor: Any) -> None:
        """ValueError when the tokenizer does not fit: the model's code knows four ids by number."""
        from transformers.models.grounding_dino.modeling_grounding_dino import SPECIAL_TOKENS

        Detector.check(model, processor)
        ends = ["[CLS]", "[SEP]", ".", "?"]
        ids = processor.tokenizer.convert_tokens_to_ids(ends)
        if ids != SPECIAL_TOKENS:
            raise ValueError(f"its tokenizer does not fit: {ends} are tokens {ids}, not BERT's")

    def text(self, phrase: str) -> str:
        """The phrase in lower case, without what would end it."""
        return _STOPS.sub(" ", phrase).strip().lower()

    def locate(self, batch: Sequence[Sought]) -> Located:
        """See `Detector.locate`. Images that the model's transform brings to one size share a pass:
        padding them to a common one would change what it sees."""
        import torch

        prompts = [self.prompts(one.phrases) for one in batch]
        counts = tuple(len(one.phrases) for one in batch)
        boxes = torch.zeros(len(batch), max(counts), 4, device=self.device)
        scores = torch.full((len(batch), max(counts)), float("nan"), device=self.device)
        with computing(self.precision_used):
            for images, pixels in self._by_shape(batch):
                for turn in range(max(len(prompts[image]) for image in images)):
                    rows = [row for row, i in enumerate(images) if turn < len(prompts[i])]
                    asked = [prompts[images[row]][turn] for row in rows]
                    found, chances = self._ask(pixels, rows, asked)
                    for place, (row, prompt) in enumerate(zip(rows, asked, strict=True)):
                        count = len(prompt.numbers)
                        boxes[images[row], prompt.numbers] = found[place, :count]
                        scores[images[row], prompt.numbers] = chances[place, :count]
        return Located(Home(boxes, scores), counts)

    def prompts(self, phrases: Sequence[str]) -> list[Prompt]:
        """As few prompts as the text limit allows, phrases in their order.

        A phrase without a token is in none of them.
        """
        tokenizer, config = self.processor.tokenizer, self.model.config
        limit = min(config.max_text_len, config.text_config.max_position_embeddings)
        begin, end, stop = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", "."])
        texts = [self.text(phrase) for phrase in phrases]
        found: list[Prompt] = []
        for number, ids in enumerate(tokenizer(texts, add_special_tokens=False)["input_ids"]):
            ids = ids[: limit - 3]
            if not ids:
                continue
            if not found or len(found[-1].tokens) + len(ids) + 2 > limit:
                found.append(Prompt([begin], [], []))
            tokens = found[-1].tokens
            found[-1].numbers.append(number)
            found[-1].spans.append((len(tokens), len(tokens) + len(ids)))
            tokens += [*ids, stop]
        for prompt in found:
            prompt.tokens.append(end)
        return found

    def _by_shape(self, batch: Sequence[Sought]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """(places in the batch, pixels) of images that have one size when transformed."""
        import torch

        sizes: dict[tuple[int, int], list[int]] = {}
        for place, one in enumerate(batch):
            sizes.setdefault((one.height, one.width), []).append(place)
        shapes: dict[tuple[int, ...], list[tuple[list[int], Any]]] = {}
        for places in sizes.values():
            pixels = self.processor.image_processor(
                [batch[place].image for place in places], return_tensors="pt", device=self.device
            )
            shape = tuple(pixels["pixel_values"].shape[1:])
            shapes.setdefault(shape, []).append((places, pixels))
        for parts in shapes.values():
            names = [name for name in ("pixel_values", "pixel_mask") if name in parts[0][1]]
            yield (
                [place for places, _ in parts for place in places],
                {n: torch.cat([pixels[n] for _, pixels in parts]).to(self.device) for n in names},
            )

    def _ask(
        self, pixels: dict[str, Any], rows: list[int], prompts: list[Prompt]
    ) -> tuple[Any, Any]:
        """Boxes [n, k, 4] and scores [n, k] of one prompt for each of some images, in one pass.

        The model subtracts a maximum taken over the whole batch, so that one image's NaN is
        everybody's; then each is asked alone.
        """
        import torch

        tokens, given, shares = self._tensors(prompts)
        with self.autocast():
            output = self.model(
                input_ids=tokens.to(self.device),
                attention_mask=given.to(self.device),
                **{name: values[rows] for name, values in pixels.items()},
            )
        tokenwise = output.logits.float().sigmoid()  # [n, boxes, tokens]
        best, places = torch.einsum("nbt,nkt->nbk", tokenwise, shares.to(self.device)).max(1)
        chosen = output.pred_boxes.float().gather(1, places[..., None].expand(-1, -1, 4))
        boxes = corners(chosen, torch.ones_like(chosen[:, :1]))
        if len(rows) > 1 and bool(best.isnan().any()):
            for place, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
                alone, scores = self._ask(pixels, [row], [prompt])
                boxes[place, : len(prompt.spans)] = alone[0]
                best[place, : len(prompt.spans)] = scores[0]
        return boxes, best

    def _tensors(self, prompts: list[Prompt]) -> tuple[Any, Any, Any]:
        """Token ids and their mask [n, t], and each token's share in each phrase [n, k, limit]."""
        import torch

        longest = max(len(prompt.tokens) for prompt in prompts)
        most = max(len(prompt.spans) for prompt in prompts)
        tokens = torch.zeros(len(prompts), longest, dtype=torch.int64)
        tokens += self.processor.tokenizer.pad_token_id
        given = torch.zeros_like(tokens)
        # the logits are as wide as the limit, however short the prompt
        shares = torch.zeros(len(prompts), most, self.model.config.max_text_len)
        for place, prompt in enumerate(prompts):
            tokens[place, : len(prompt.tokens)] = torch.tensor(prompt.tokens)
            given[place, : len(prompt.tokens)] = 1
            for number, (start, end) in enumerate(prompt.spans):
                shares[place, number, start:end] = 1 / (end - start)
        return tokens, given, shares
