"""Bare loops over the models, without the pipeline: what a stage costs at the very least.

    python -m tests.benchmarks.floor JOB.json

`JOB.json` names a node's kind, its model, and the inputs that the pipeline found in its store; the
loops themselves use Pillow, open_clip, transformers and spaCy alone. Printed is one line of JSON:
seconds of this process's CPU time for decoding and transforming, and for the forward passes on what
is then in memory. Run it with one torch thread, once for each core at the same time.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

CHUNK = 256  # images in memory at a time


def opened(path: str) -> Image.Image:
    """An upright RGB image."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def chunks(values: list[Any], size: int) -> Iterator[list[Any]]:
    """Consecutive slices of at most `size` values."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def both(
    inputs: list[Any],
    batch: int,
    prepare: Callable[[Any], list[Any]],
    forward: Callable[[list[Any]], object],
) -> tuple[float, float]:
    """CPU seconds of `prepare` (one input to its tensors) and of `forward` (on `batch` of them)."""
    preparing = running = 0.0
    for some in chunks(inputs, CHUNK):
        started = time.process_time()
        prepared = [tensor for one in some for tensor in prepare(one)]
        preparing += time.process_time() - started
        started = time.process_time()
        with torch.inference_mode():
            for tensors in chunks(prepared, batch):
                forward(tensors)
        running += time.process_time() - started
    return preparing, running


def _clip(job: dict[str, Any], **transform: str) -> tuple[Any, Any, Any]:
    import open_clip

    name = f"local-dir:{job['model']}"
    model, preprocess = open_clip.create_model_from_pretrained(name, **transform)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def embed_images(job: dict[str, Any]) -> tuple[float, float]:
    """Inputs: paths."""
    model, preprocess, _ = _clip(job)
    return both(
        job["inputs"],
        job["batch"],
        lambda path: [preprocess(opened(path))],
        lambda tensors: model.encode_image(torch.stack(tensors)),
    )


def embed_objects(job: dict[str, Any]) -> tuple[float, float]:
    """Inputs: [path, boxes in pixels]."""
    model, preprocess, _ = _clip(job, image_resize_mode="squash")

    def crops(one: tuple[str, list[list[int]]]) -> list[Any]:
        path, boxes = one
        image = opened(path)
        return [preprocess(image.crop(box)) for box in boxes]

    return both(
        job["inputs"],
        job["batch"],
        crops,
        lambda tensors: model.encode_image(torch.stack(tensors)),
    )


def embed_texts(job: dict[str, Any]) -> tuple[float, float]:
    """Inputs: texts."""
    model, _, tokenizer = _clip(job)
    return both(
        job["inputs"],
        job["batch"],
        lambda text: [tokenizer([text])[0]],
        lambda tensors: model.encode_text(torch.stack(tensors)),
    )


def caption(job: dict[str, Any]) -> tuple[float, float]:
    """Inputs: paths."""
    from transformers import BlipForConditionalGeneration, BlipProcessor

    model = BlipForConditionalGeneration.from_pretrained(job["model"], dtype=torch.float32).eval()
    processor = BlipProcessor.from_pretrained(job["model"])

    def forward(tensors: list[Any]) -> object:
        tokens = model.generate(torch.stack(tensors), num_beams=3, max_new_tokens=40)
        return processor.batch_decode(tokens, skip_special_tokens=True)

    def prepare(path: str) -> list[Any]:
        return [processor(images=opened(path), return_tensors="pt")["pixel_values"][0]]

    return both(job["inputs"], job["batch"], prepare, forward)


def parse(job: dict[str, Any]) -> tuple[float, float]:
    """Inputs: captions."""
    import spacy

    nlp = spacy.load(job["model"])
    started = time.process_time()
    for doc in nlp.pipe(job["inputs"], batch_size=job["batch"]):
        [(token.pos_, token.lemma_) for token in doc]
    return 0.0, time.process_time() - started


KINDS = {one.__name__: one for one in (embed_images, embed_objects, embed_texts, caption, parse)}


def main() -> None:
    """Runs one job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    KINDS[job["kind"]]({**job, "inputs": job["inputs"][:1]})  # loads and warms what is lazy
    prepare, forward = KINDS[job["kind"]](job)
    print(json.dumps({"prepare": prepare, "forward": forward}))


if __name__ == "__main__":
    main()
