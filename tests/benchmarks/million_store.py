"""Writes a store of a million images: `python -m tests.benchmarks.million_store FOLDER`.

`FOLDER/dag.yaml` and `FOLDER/store`, on which `item query` and `item train` work as on any other:

    item train FOLDER/dag.yaml --store FOLDER/store

The DAG is that of the demo; its nodes name the bundled models, which ran on nothing here. Captions,
objects, regions and embeddings are made up (`million_world` says how, and which AP the best head
has), everything else is computed by the package: labels by the layout, `images` by its stage, the
misalignment and the features by theirs, every part by the store. No image exists on disk. A quarter
of the test images are there in two JPEG qualities too, for which everything is drawn anew. The same
options give the same tables. A part is 4,096 files; at 768 wide a million images take 14 GB.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from threadpoolctl import threadpool_limits

from pipeline import tables
from pipeline.corpus.variants import CLEAN, ID_LENGTH, content_id
from pipeline.dag.graph import Dag, Node, load
from pipeline.shipped import folder
from pipeline.stages import features, misalign
from pipeline.stages.images import described
from pipeline.stages.shared.failure_reasons import reasons
from pipeline.store.contents import Asked, asked, remember
from pipeline.store.parts import Store, clean_part, part_name, part_number
from pipeline.store.todo import inputs_of
from tests.benchmarks.million_world import (
    DAMAGED,
    GENERATORS,
    LOCAL,
    REPEATED,
    STRENGTH,
    Strata,
    Vocabulary,
    expected_ap,
)

PART = 4096
VARIANTS = (75, 50)  # JPEG qualities
_SIZES = ((256, 256), (512, 512), (500, 375), (640, 480), (1024, 1024))
TABLES = [sha256(f"tables {number}".encode()).hexdigest()[:16] for number in range(21)]
_DAMAGE = "image cannot be decoded: image file is truncated"


def write_dag(
    out: Path, part_size: int, variants: Sequence[int], nodes: Sequence[str] | None = None
) -> Path:
    """`out/dag.yaml`: the demo's nodes over a corpus that is not there, and two experiments.

    With `nodes` these alone, and no experiments.
    """
    dag = yaml.safe_load((folder("dags") / "demo.yaml").read_text("utf-8"))
    here = (folder("data") / "demo" / "models").as_posix()
    kept = {name: node for name, node in dag["nodes"].items() if nodes is None or name in nodes}
    text = yaml.safe_dump(kept).replace("../data/demo/models", here)
    sides = {"validation": "split = 'val'", "test": "split = 'test'", "allow_overlap": True}
    head = {"hidden": [512], "epochs": 5}
    one = f"generator = '{GENERATORS[4]}' and split"
    dag = {
        "name": "million",
        "corpus": {
            "root": str((out / "corpus").absolute()),
            "layout": "forensynths",
            "dataset": "million",
            "part_size": part_size,
            "variants": {"test": [f"jpeg_{quality}" for quality in variants]} if variants else {},
            "variant_share": 0.25,
        },
        "nodes": yaml.safe_load(text),
        "experiments": {
            "one_generator": {
                "train": f"{one} = 'train'",
                **sides,
                "validation": f"{one} = 'val'",
                "head": head,
            },
            "all_generators": {"train": "split = 'train'", **sides, "head": head},
        },
    }
    if nodes is not None:
        del dag["experiments"]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "dag.yaml"
    path.write_text(yaml.safe_dump(dag, sort_keys=False))
    return path


def write(
    out: Path,
    images: int,
    width: int = 768,
    seed: int = 0,
    processes: int = 2,
    part_size: int = PART,
    variants: Sequence[int] = VARIANTS,
    nodes: Sequence[str] | None = None,
) -> Path:
    """Writes DAG and store; returns the DAG's path. Processes change nothing but the time.

    `nodes`: those to write beside listing and images (default: all).
    """
    path = write_dag(out, part_size, variants, nodes)
    dag, store = load(str(path)), Store(out / "store")
    store.create()
    for node in dag.nodes.values():
        store.open_node(node, dag.name, dag.corpus.root)
    files = images + images // REPEATED
    parts = range((files + part_size - 1) // part_size)
    _each(_write_part, [(path, store.root, n, images, width, seed) for n in parts], processes)
    wanted = asked(dag, store)
    remember(dag, store, wanted)  # as a run does
    perturbed = [one for one in wanted if one.variant != CLEAN]
    _each(_write_variant, [(path, store.root, part, width, seed) for part in perturbed], processes)
    return path


def _each(function: Callable[[Any], None], jobs: Sequence[Any], processes: int) -> None:
    if processes == 1:
        for job in jobs:
            function(job)
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(function, jobs):
                pass


@cache
def _opened(path: Path, width: int, seed: int) -> tuple[Dag, Vocabulary]:
    threadpool_limits(1)
    pa.set_cpu_count(1)
    return load(str(path)), Vocabulary(width, seed)


def _write_part(job: tuple[Path, Path, int, int, int, int]) -> None:
    path, root, number, count, width, seed = job
    dag, vocabulary = _opened(path, width, seed)
    rng = np.random.default_rng([seed, 4, number])
    total = count + count // REPEATED
    size = dag.corpus.part_size
    files = np.arange(number * size, min((number + 1) * size, total))
    made = {"listing": _listing(files, count, dag, seed)}
    # the only image of an earlier part that a file can repeat is the last one
    before = {_sha(seed, _image(files[:1] - 1)[0])[:32]} if number else set()
    rows = described(made["listing"])
    made["images"] = rows.filter(pc.invert(pc.is_in(rows["image_id"], pa.array(before or [""]))))
    made |= _made_up(made["images"], made["listing"], vocabulary, rng)
    listing = dag.nodes["listing"]
    name = part_name(number, made["listing"]["uri"].to_pylist())
    _commit(Store(root), listing, name, made["listing"])
    ids = made["images"]["image_id"].to_pylist()
    _write_nodes(dag, Store(root), part_name(number, ids), made)


def _write_variant(job: tuple[Path, Path, Asked, int, int]) -> None:
    path, root, one, width, seed = job
    dag, vocabulary = _opened(path, width, seed)
    store, listing, images = Store(root), dag.nodes["listing"], dag.nodes["images"]
    number, quality = part_number(one.part), int(one.variant.partition("_")[2])
    listed = next(p.name for p in store.parts(listing) if part_number(p.name) == number)
    rows = store.read(images.folder, clean_part(one.part), tables.schema("images").names)
    wanted = [content_id(image_id) for image_id in one.ids.to_pylist()]
    rows = rows.filter(pc.is_in(rows["image_id"], pa.array(wanted)))
    whole = rows["error"].is_null().to_numpy()
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns["variant"] = [one.variant] * len(rows)
    columns["image_id"] = one.ids
    columns["format"] = _where(whole, np.full(len(rows), "JPEG"))
    columns["jpeg_quality"] = _where(whole, np.full(len(rows), quality))
    made = {"listing": store.read(listing.folder, listed)}
    made["images"] = tables.build("images", columns)
    rng = np.random.default_rng([seed, 5, quality, number])
    made |= _made_up(made["images"], made["listing"], vocabulary, rng)
    _write_nodes(dag, store, one.part, made)


def _write_nodes(dag: Dag, store: Store, part: str, made: dict[str, pa.Table]) -> None:
    """Computes the last two tables, and commits a part of every node but the listing."""
    for stage in (misalign, features):
        for node in [node for node in dag.nodes.values() if node.stage is stage.STAGE]:
            made[node.name] = stage.run(made, node.parameters, ())
    for node in dag.nodes.values():
        if node.name != "listing":
            above = {i: dag.nodes[name].folder for i, name in inputs_of(node).items()}
            commits = {input_: store.commit(folder, part) for input_, folder in above.items()}
            _commit(store, node, part, made[node.name], inputs=json.dumps(commits))


def _commit(store: Store, node: Node, name: str, table: pa.Table, **facts: str) -> None:
    tables.check(node.stage.output, table)
    if node.name != "listing":
        made_from = pa.array(np.zeros(len(table), np.int64))
        table = table.append_column(tables.MADE_FROM, made_from)
    store.write(node.folder, name, table, {**_facts(node, name, table), **facts})


def _facts(node: Node, name: str, table: pa.Table) -> dict[str, object]:
    key = node.stage.key
    rows = len(pc.unique(table[key]))
    failed = len(pc.unique(table.filter(pc.is_valid(table["error"]))[key]))
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {
        "node": node.name,
        "rows_in": rows,
        "rows_ok": rows - failed,
        "rows_failed": failed,
        "transient": 0,
        "seconds_read": 0.0,
        "seconds_infer": 0.0,
        "started": now,
        "finished": now,
        "host": "made up",
    }


def _image(files: np.ndarray) -> np.ndarray:
    """The image that each file holds: a file after REPEATED others repeats the one before it."""
    return files - (files + 1) // (REPEATED + 1)


def _sha(seed: int, image: int) -> str:
    return sha256(f"million {seed} {image}".encode()).hexdigest()


def _listing(files: np.ndarray, count: int, dag: Dag, seed: int) -> pa.Table:
    images = _image(files)
    shas = [_sha(seed, image) for image in images.tolist()]
    # a file's facts follow from its content, which it may share with the file before it
    dice = np.frombuffer(bytes.fromhex("".join(shas)), np.uint32).reshape(-1, 8)[:, -4:]
    width, height = np.array(_SIZES)[dice[:, 0] % len(_SIZES)].T
    jpeg = dice[:, 1] % 5 > 0
    whole = images % DAMAGED != DAMAGED // 2
    again = (files + 1) % (REPEATED + 1) == 0
    folders = Strata(count).folders(images)
    read = {name: dag.corpus.reading.labels(f"{name}/x") for name in folders}
    paths = zip(folders, images.tolist(), again.tolist(), jpeg.tolist(), strict=True)
    columns = {
        "uri": [
            f"{dag.corpus.root}/{folder}/{image:07d}{'-again' * twice}.{'jpg' if j else 'png'}"
            for folder, image, twice, j in paths
        ],
        "image_id": [sha[:32] for sha in shas],
        **{
            name: [getattr(read[folder], name) for folder in folders]
            for name in ("label", "generator", "dataset", "split", "class_name")
        },
        "bytes": (width * height * (0.2 + dice[:, 2] / 2**34)).astype(np.int64),
        "width": _where(whole, width),
        "height": _where(whole, height),
        "format": _where(whole, np.where(jpeg, "JPEG", "PNG")),
        "mode": _where(whole, np.full(len(files), "RGB")),
        "orientation": _where(whole, np.ones(len(files), np.int8)),
        "jpeg_quality": _where(whole & jpeg, 75 + dice[:, 3] % 21),
        "jpeg_tables": _where(whole & jpeg, np.array(TABLES)[dice[:, 3] % 21]),
        "has_exif": _where(whole, dice[:, 3] % 7 == 0),
        "sha256": shas,
        "stamp": ["0"] * len(files),
        "error": _where(~whole, np.full(len(files), _DAMAGE)),
    }
    return tables.build("listing", columns)


def _where(kept: np.ndarray, values: np.ndarray) -> list:
    return [value if ok else None for value, ok in zip(values.tolist(), kept, strict=True)]


def _made_up(
    images: pa.Table, listing: pa.Table, vocabulary: Vocabulary, rng: np.random.Generator
) -> dict[str, pa.Table]:
    """What models would have made of the images: every table but the last two."""
    count, width = len(images), vocabulary.width
    whole = images["error"].is_null().to_numpy()
    why = {"captions": images["error"].to_pylist()}
    why["objects"] = reasons("caption", images["error"])
    contents = pc.utf8_slice_codeunits(images["image_id"], 0, ID_LENGTH)
    row = pc.index_in(contents, listing["image_id"])
    fake = listing["label"].take(row).to_numpy().astype(np.float64)
    strength = np.array([STRENGTH[name] for name in listing["generator"].take(row).to_pylist()])
    drawn = rng.integers(len(vocabulary.captions), size=count)
    captions = _where(whole, np.array(vocabulary.captions, object)[drawn])
    said = np.array([vocabulary.place[caption] if caption else 0 for caption in captions])
    z = rng.standard_normal(count) + fake * strength
    found = {
        "captions": {
            "image_id": images["image_id"],
            "caption": captions,
            "num_tokens": [len(caption.split()) if caption else None for caption in captions],
            "mean_logprob": _where(whole, -rng.gamma(4, 0.1, count)),
            "error": why["captions"],
        },
        "image_embeddings": {
            "image_id": images["image_id"],
            "embedding": tables.vectors(vocabulary.seen(said, z, rng), whole),
            "norm": _where(whole, rng.normal(10, 0.5, count)),
            "error": why["captions"],
        },
    }
    z = rng.standard_normal(count) + fake * LOCAL * strength
    found |= _objects(images, drawn, whole, why["objects"], z, vocabulary, rng)
    texts = [*captions, *found["objects"]["phrase"]]
    places = [vocabulary.place[text] for text in dict.fromkeys(texts) if text]
    found["text_embeddings"] = {
        "text_id": [vocabulary.ids[place] for place in places],
        "text": [vocabulary.texts[place] for place in places],
        "embedding": tables.vectors(vocabulary.vectors[places]),
        "norm": np.full(len(places), 10, np.float32),
        "truncated": np.zeros(len(places), bool),
    }
    return {name: tables.build(name, columns, width) for name, columns in found.items()}


def _objects(
    images: pa.Table,
    drawn: np.ndarray,
    whole: np.ndarray,
    why: np.ndarray,
    z: np.ndarray,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
) -> dict[str, dict[str, object]]:
    """The tables with a row an object; an image without objects keeps a row."""
    image, number, named = [], [], []
    for row, (caption, ok) in enumerate(zip(drawn.tolist(), whole.tolist(), strict=True)):
        objects = vocabulary.objects[caption] if ok else []
        image += [row] * max(1, len(objects))
        number += range(len(objects)) if objects else [None]
        named += objects or [(None, None, None, None)]
    place = np.array(image)
    there = np.array([value is not None for value in number])
    key = {"image_id": images["image_id"].take(pa.array(place)), "object_no": number}
    error = {"error": why[place]}
    phrase, head, start, end = zip(*named, strict=True)
    said = np.array([vocabulary.place[text] if text else 0 for text in phrase])
    low, high = rng.uniform(0, 0.5, (2, len(place))), rng.uniform(0.5, 1, (2, len(place)))
    corners = dict(zip(("x0", "y0", "x1", "y1"), (*low, *high), strict=True))
    return {
        "objects": {**key, "phrase": phrase, "head": head, "start": start, "end": end, **error},
        "regions": {
            **key,
            **{name: _where(there, values) for name, values in corners.items()},
            "score": _where(there, rng.uniform(0.1, 0.5, len(place))),
            **error,
        },
        "object_embeddings": {
            **key,
            "embedding": tables.vectors(vocabulary.seen(said, z[place], rng), there),
            "norm": _where(there, rng.normal(10, 0.5, len(place))),
            **error,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where dag.yaml and store/ go")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    dag = write(options.folder, options.images, options.width, options.seed, options.processes)
    size = sum(path.stat().st_size for path in (options.folder / "store").rglob("*.parquet"))
    print(f"{dag}: {options.images:,} images, {size / 1e9:.1f} GB, ", end="")
    print(f"{time.perf_counter() - started:.0f} s")
    print("AP of the best head, reals and fakes of equal number:")
    for generator in (*GENERATORS, None):
        both = [expected_ap(generator, local) for local in (False, True)]
        print(f"{generator or 'all of them':12} global {both[0]:.4f}  global+local {both[1]:.4f}")


if __name__ == "__main__":
    main()
