"""Does the located region lie on the object? The `patches` localiser on held-out scenes.

    python tests/benchmarks/grounding.py --clip data/demo/models/clip -n 500

Runs the `ground` stage itself over JPEG files of scenes that no model was trained on, with the
phrases of their true captions. Prints the share of regions whose centre falls in the true object's
box, and the mean overlap (intersection over union) of region and box.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeline import models, tables
from pipeline.demo.pool import HELD_OUT_SEEDS
from pipeline.demo.scenes import encode_jpeg, render, sample_scene
from pipeline.stages.ground import STAGE, GroundParameters

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
        "images": tables.build("images", {"image_id": ids, "uri": uris, "sha256": hashes}),
        "objects": tables.build(
            "objects", {"image_id": owners, "object_no": numbers, "phrase": phrases}
        ),
    }
    return inputs, np.array(boxes)


def main() -> None:
    """Prints both figures; status 1 below the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("-n", type=int, default=500, help="scenes")
    parser.add_argument("--threshold", type=float)
    options = parser.parse_args()
    chosen = {} if options.threshold is None else {"threshold": options.threshold}
    parameters = GroundParameters(
        method="patches", clip={"model": f"local-dir:{options.clip}"}, **chosen
    )
    loaded = [models.get(spec) for spec in STAGE.models(parameters)]
    with tempfile.TemporaryDirectory() as folder:
        inputs, true = write_scenes(Path(folder), options.n)
        table = STAGE.run(inputs, parameters, loaded)
    found = np.stack([table[name].to_numpy() for name in CORNERS], 1)
    centre = (found[:, :2] + found[:, 2:]) / 2
    hits = ((centre >= true[:, :2]) & (centre <= true[:, 2:])).all(1)
    shared = np.clip(
        np.minimum(found[:, 2:], true[:, 2:]) - np.maximum(found[:, :2], true[:, :2]), 0, None
    ).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (found, true)]
    print(f"scenes {options.n}, objects {len(true)}, threshold {parameters.threshold}")
    print(f"centre in the true box  {hits.mean():.3f}  (bar {BAR})")
    print(f"mean overlap (IoU)      {(shared / (sum(areas) - shared)).mean():.3f}")
    if hits.mean() < BAR:
        sys.exit("below the bar")


if __name__ == "__main__":
    main()
