"""How much of a region each `fit` of `embed_objects` leaves, and what that does to its cosine.

    python -m tests.benchmarks.region_fit DAG --store STORE -n 2000

Reads a store that is complete as far as `text_embeddings`. First the boxes of all clean images: how
much longer one side is than the other, and what a crop of the shorter side's length loses of the
area. Then the regions of `n` images, evenly spread, are embedded by the stage itself under each
`fit` (and padded with black, as a CLIP that pads by open_clip's defaults is): the mean cosine with
the phrase, of all, real and fake; how often the region's own phrase is the nearest of all phrases
of these images; and how well a low mean cosine tells an image for a fake, as average precision and
AUROC against all reals, the mean over the generators. (That fakes align worse is assumed in these
two: where it is not so, the AUROC is below 0.5.)

Last, a logistic regression on the mean over an image's objects of D = v - t, trained on each
generator (on its split `train`, where it has one) and tested on the others: average precision and
AUROC, their means. How long the boxes are for their width says something of who drew the image too,
and padding shows it: so the same with these two numbers beside D, and of these two numbers alone.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import models, open_store
from pipeline.dag.graph import load
from pipeline.head.figures.metrics import metrics
from pipeline.models.clip.clip import unit
from pipeline.stages.embed_objects import STAGE, EmbedObjectsParameters, edges
from pipeline.tables import build, matrix
from tests.helpers.images import images_table

QUERY = """
select r.image_id, r.object_no, r.x0, r.y0, r.x1, r.y1, r.score, r.error, o.phrase, l.label,
    l.generator, l.split, l.uri, i.sha256, i.bytes,
    case when i.orientation > 4 then i.height else i.width end as width,
    case when i.orientation > 4 then i.width else i.height end as height
from regions as r
join objects as o using (image_id, object_no)
join images as i using (image_id)
join (
    select image_id, any_value(label) as label, any_value(generator) as generator,
        any_value(split) as split, any_value(uri) as uri
    from listing group by image_id
) as l using (image_id)
where r.error is null and i.variant = 'clean'
order by r.image_id, r.object_no
"""
CORNERS = ("x0", "y0", "x1", "y1")
QUANTILES = (0.5, 0.75, 0.9, 0.99, 1.0)


def sides(rows: Any) -> np.ndarray:
    """(width, height) of each region in pixels of the upright image, float64 [n, 2]."""
    found = [edges((row["width"], row["height"]), [row[c] for c in CORNERS]) for row in rows]
    return np.array([(right - left, bottom - top) for left, top, right, bottom in found], float)


def print_shapes(rows: Any) -> None:
    """Aspect ratios, and what a square of the shortest side leaves out."""
    both = np.sort(sides(rows), 1)
    ratio, lost = both[:, 1] / both[:, 0], 1 - both[:, 0] / both[:, 1]
    print(f"{len(rows)} regions of {len({row['image_id'] for row in rows})} images")
    print("quantiles              " + "".join(f"{q:>8}" for q in QUANTILES))
    for name, values in (("longer / shorter side", ratio), ("area lost by crop", lost)):
        shown = "".join(f"{value:8.3f}" for value in np.quantile(values, QUANTILES))
        print(f"{name:23}{shown}   mean {values.mean():.3f}")
    over, half = (lost > 0.25).mean(), (lost >= 0.5).mean()
    print(f"regions that lose over 25 %: {over:.3f}; half or more: {half:.3f}")
    print(f"regions over 100 times as long as wide: {int((ratio > 100).sum())}", flush=True)


def print_cosines(name: str, rows: list[dict[str, Any]], vectors: Any, phrases: Any) -> None:
    """One line: what the regions' unit vectors (NaN: none) are to the phrases."""
    different, own = phrases
    cosines = vectors @ different.T
    good = np.isfinite(cosines).all(1)
    mine = cosines[np.arange(len(own)), own]
    label = np.array([row["label"] for row in rows])
    nearest = cosines[good].argmax(1) == own[good]
    real = label[good] == 0
    images, place = np.unique([row["image_id"] for row in rows], return_inverse=True)
    sums = np.bincount(place[good], mine[good], len(images))
    mean = sums / np.maximum(np.bincount(place[good], minlength=len(images)), 1)
    first = np.unique(place, return_index=True)[1]
    of, maker = label[first], np.array([rows[at]["generator"] for at in first])
    found = []
    for generator in np.unique(maker[of == 1]):
        some = (of == 0) | (maker == generator)
        found.append(metrics(of[some], 1 / (1 + np.exp(4 * mean[some]))))
    ap, auroc = (np.mean([one[key] for one in found]) for key in ("ap", "auroc"))
    chance = np.mean([one["prevalence"] for one in found])
    print(
        f"{name:14}{mine[good].mean():10.4f}{mine[good][real].mean():10.4f}"
        f"{mine[good][~real].mean():10.4f}{nearest[real].mean():10.3f}{nearest[~real].mean():10.3f}"
        f"{ap:10.3f}{auroc:10.3f}{chance:10.3f}{int((~good).sum()):10d}",
        flush=True,
    )


def embedded(rows: list[dict[str, Any]], clip: dict[str, Any], fit: str) -> np.ndarray:
    """Unit vectors float32 [n, d] by the stage; NaN where it gives none."""
    once = {row["image_id"]: row for row in rows}
    names = ("image_id", "uri", "sha256", "bytes", "width", "height")
    images = images_table({name: [row[name] for row in once.values()] for name in names})
    columns = ("image_id", "object_no", *CORNERS, "score", "error")
    regions = build("regions", {name: [row[name] for row in rows] for name in columns})
    parameters = EmbedObjectsParameters(clip=clip, fit=fit)
    loaded = [models.get(spec) for spec in STAGE.models(parameters)]
    table = STAGE.run({"images": images, "regions": regions}, parameters, loaded)
    values, valid = matrix(table["embedding"])
    values[~valid] = np.nan
    return values


def by_image(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """float64 [images, k]: the mean of the rows [n, k] of each image; `place` [n]: which it is."""
    good = np.isfinite(values).all(1)
    counts = np.bincount(place[good], minlength=place.max() + 1)
    sums = [np.bincount(place[good], column[good], len(counts)) for column in values.T]
    return np.stack(sums, 1) / np.maximum(counts, 1)[:, None]


def print_heads(rows: list[dict[str, Any]], of_fit: dict[str, np.ndarray], texts: Any) -> None:
    """A line for each set of inputs: a logistic regression across generators."""
    _, first, place = np.unique(
        [row["image_id"] for row in rows], return_index=True, return_inverse=True
    )
    ratio = np.log(sides(rows)) @ np.array([1, -1])
    shape = by_image(np.stack([np.abs(ratio), ratio], 1), place)
    inputs = {"shape of boxes": shape}
    for fit, vectors in of_fit.items():
        inputs[fit] = by_image(vectors - texts, place)
        inputs[f"{fit}, and shape"] = np.hstack([inputs[fit], shape])
    label, maker, split = (
        np.array([rows[at][name] for at in first]) for name in ("label", "generator", "split")
    )
    generators = sorted(set(maker[label == 1]) & set(maker[label == 0]))
    if len(generators) < 2:
        print("no two generators have reals of their own: no heads")
        return
    sides_of = {
        name: (split == name) if (split == name).any() else np.ones(len(split), bool)
        for name in ("train", "test")
    }
    print(f"{'logistic regression on':24}{'ap':>8}{'auroc':>8}   ap by training generator")
    for name, x in inputs.items():
        found = []
        for trained in generators:
            some = (maker == trained) & sides_of["train"]
            head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            head.fit(x[some], label[some])
            each = []
            for other in generators:
                rest = (maker == other) & sides_of["test"]
                if other != trained:
                    p = head.decision_function(x[rest])
                    scores = (average_precision_score, roc_auc_score)
                    each.append([score(label[rest], p) for score in scores])
            found.append(np.mean(each, 0))
        ap, auroc = np.mean(found, 0)
        each = "  ".join(f"{g} {one[0]:.3f}" for g, one in zip(generators, found, strict=True))
        print(f"{name:24}{ap:8.3f}{auroc:8.3f}   {each}", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dag")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("-n", type=int, default=2000, help="images whose regions are embedded")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(options.dag, store=options.store)
    rows = store.sql(QUERY).to_arrow_table().to_pylist()
    print_shapes(rows)
    ids = sorted({row["image_id"] for row in rows})
    kept = {ids[i] for i in np.linspace(0, len(ids) - 1, min(options.n, len(ids))).astype(int)}
    rows = [row for row in rows if row["image_id"] in kept]
    spec = load(options.dag).node("object_embeddings").parameters.clip
    clip = models.get(spec)
    texts, own = np.unique([row["phrase"] for row in rows], return_inverse=True)
    vectors = np.concatenate(
        [unit(clip.encode_texts(list(some))[0]).arrays()[0] for some in np.array_split(texts, 8)]
    )
    print(f"{len(rows)} regions of {len(kept)} images; {len(texts)} different phrases")
    names = ("cosine", "real", "fake", "own: real", "fake", "ap", "auroc", "chance", "failed")
    print(f"{'fit':14}" + "".join(f"{name:>10}" for name in names))
    of_fit = {}
    for fit in ("crop", "squash", "pad"):
        of_fit[fit] = embedded(rows, spec.model_dump(), fit)
        print_cosines(fit, rows, of_fit[fit], (vectors, own))
    own_settings = clip._settings
    clip._settings = {**own_settings, "resize_mode": "longest", "fill_color": 0}
    print_cosines("pad, black", rows, embedded(rows, spec.model_dump(), "pad"), (vectors, own))
    clip._settings = own_settings
    print_heads(rows, of_fit, vectors[own])


if __name__ == "__main__":
    main()
