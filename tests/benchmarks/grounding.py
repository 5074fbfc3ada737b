"""Does the located region lie on the object? What needs only CLIP, on held-out scenes.

    python tests/benchmarks/grounding.py --clip data/demo/models/clip -n 500
    python tests/benchmarks/grounding.py --clip data/demo/models/clip --scales 0.3 0.6

Runs the `ground` stage itself over JPEG files of scenes that no model was trained on, with the
phrases of their true captions. Prints the share of regions whose centre falls in the true object's
box, the mean overlap (intersection over union) of region and box, and seconds of CPU time. Status 1
when `patches` is below the bar.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np

from pipeline import models, tables
from pipeline.demo.pool import HELD_OUT_SEEDS
from pipeline.demo.scenes import encode_jpeg, render, sample_scene
from pipeline.stages.ground import STAGE, GroundParameters
from tests.helpers.images import images_table

BAR = 0.80
CORNERS = ("x0", "y0", "x1", "y1")


def write_scenes(folder: Path, count: int) -> tuple[dict, np.ndarray]:
    """JPEG files; the tables `images` and `objects` over them; the true boxes [n, 4]."""
    listed, named, boxes = [], [], []
    for seed in HELD_OUT_SEEDS[:count]:
        scene = sample_scene(seed)
        path = folder / f"{seed}.jpg"
        path.write_bytes(encode_jpeg(render(scene), seed))
        listed.append((str(seed), str(path), hashlib.sha256(path.read_bytes()).hexdigest()))
        for number, item in enumerate(scene.objects):
            named.append((str(seed), number, item.phrase))
            boxes.append(item.box)
    ids, uris, hashes = zip(*listed, strict=True)
    owners, numbers, phrases = zip(*named, strict=True)
    inputs = {
        "images": images_table({"image_id": ids, "uri": uris, "sha256": hashes}),
        "objects": tables.build(
            "objects", {"image_id": owners, "object_no": numbers, "phrase": phrases}
        ),
    }
    return inputs, np.array(boxes)


def measure(name: str, inputs: dict, true: np.ndarray, clip: Path, settings: dict) -> float:
    """Prints one line of the table; returns the share of centres in the true box."""
    if name != "whole":
        settings = {**settings, "clip": {"model": f"local-dir:{clip}"}}
    parameters = GroundParameters(method=name, **settings)
    loaded = [models.get(spec) for spec in STAGE.models(parameters)]
    begun = process_time()
    table = STAGE.run(inputs, parameters, loaded)
    spent = process_time() - begun
    found = np.stack([table[corner].to_numpy() for corner in CORNERS], 1)
    centre = (found[:, :2] + found[:, 2:]) / 2
    hits = ((centre >= true[:, :2]) & (centre <= true[:, 2:])).all(1).mean()
    shared = np.clip(
        np.minimum(found[:, 2:], true[:, 2:]) - np.maximum(found[:, :2], true[:, :2]), 0, None
    ).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (found, true)]
    overlap = (shared / (sum(areas) - shared)).mean()
    shown = {key: value for key, value in settings.items() if key != "clip"}
    print(f"{name:8}  {hits:18.3f}  {overlap:8.3f}  {spent:11.1f}  {shown or ''}", flush=True)
    return float(hits)


def main() -> None:
    """Prints the table; status 1 below the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("-n", type=int, default=500, help="scenes")
    parser.add_argument("--methods", nargs="+", default=["whole", "windows", "patches"])
    parser.add_argument("--threshold", type=float, help="of patches")
    parser.add_argument("--scales", type=float, nargs="+", help="of windows")
    parser.add_argument("--overlap", type=float, help="of windows")
    options = parser.parse_args()
    given = {
        "whole": {},
        "patches": {"threshold": options.threshold},
        "windows": {"scales": options.scales, "overlap": options.overlap},
    }
    hits = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs, true = write_scenes(Path(folder), options.n)
        print(f"scenes {options.n}, objects {len(true)}")
        print(f"{'method':8}  centre in true box  mean IoU  CPU seconds")
        for name in options.methods:
            settings = {key: value for key, value in given[name].items() if value is not None}
            hits[name] = measure(name, inputs, true, options.clip, settings)
    if hits.get("patches", 1.0) < BAR:
        sys.exit(f"patches: below the bar of {BAR}")


if __name__ == "__main__":
    main()
