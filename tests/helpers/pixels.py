"""A DAG of one node without a model: what processes and signals do takes no library to show."""

from pathlib import Path

import yaml

PLUGIN = '''
"""Vectors of images that are their own pixels, eight of them."""
import time

import numpy as np

import pipeline as item


class Pixels(item.Parameters):
    seconds: float = 0.0  # that each image takes


def run(inputs, parameters, models):
    images = inputs["images"]
    made, norms, errors = np.zeros((len(images), 8), np.float32), [], []
    for row, image, error in item.decode(images):
        time.sleep(parameters.seconds)
        if image is not None:
            made[row] = 1 + np.asarray(image.convert("L").resize((8, 1)), np.float32).ravel()
        norms.append(None if image is None else float(np.linalg.norm(made[row])))
        made[row] /= norms[-1] or 1
        errors.append(error)
    vectors = item.vectors(made, np.array([error is None for error in errors], bool))
    columns = {"image_id": images["image_id"], "embedding": vectors, "norm": norms}
    return item.table("image_embeddings", {**columns, "error": errors}, 8)


STAGE = item.Stage("pixels", 1, ("images",), "image_embeddings", Pixels, run)
'''


def write_dag(path: Path, corpus: Path, part_size: int = 5, seconds: float = 0.0) -> Path:
    """Writes the DAG over a corpus in ForenSynths layout, and its plugin beside it."""
    (path.parent / "pixels.py").write_text(PLUGIN.lstrip())
    raw = {
        "name": path.stem,
        "plugins": ["./pixels.py"],
        "corpus": {"root": str(corpus), "layout": "forensynths", "part_size": part_size},
        "nodes": {"image_embeddings": {"stage": "pixels", "images": "images", "seconds": seconds}},
    }
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path
