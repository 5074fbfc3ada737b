"""Whole runs on one GPU, from the command to the last part, against the sum of their bare loops.

    python -m tests.benchmarks.gpu_run [--only embed joint agree] [--images 8192] [--joint 2048]

`embed`: `item run` of ViT-L-14 image embeddings, bf16. `joint`: BLIP-large captions, patches and
both kinds of embeddings in one pass; a captioner with random weights names no objects, so the nodes
behind it read written captions (`provided`). The bare loops have finished tensors in GPU memory.
Asked is a first part within 15 s of the start, and 0.85 of the sum of the bare parts for the joint
pass. `agree`: the demo's nodes in fp32, on the processor and on the GPU, table by table.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from pipeline.corpus import decoders
from tests.benchmarks import gpu, outside

ROOT = Path(__file__).resolve().parents[2]
NOUNS = ("dog", "car", "man", "woman", "tree", "house", "bird", "boat", "table", "street")
HUES = ("red", "blue", "small", "old", "wooden", "bright", "empty", "green")
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def dags(bench: gpu.Bench, work: Path, options: argparse.Namespace) -> dict[str, Path]:
    """The DAG files of both runs, over the files of `bench` and some of them."""
    clip = bench.spec
    some = work / "some"
    some.mkdir()
    rows = []
    for number, uri in enumerate(bench.images["uri"].to_pylist()[: options.joint]):
        path = some / Path(uri).name
        path.hardlink_to(uri)
        a, b = NOUNS[number % 10], NOUNS[number // 10 % 10]
        hue, other = HUES[number % 8], HUES[number // 8 % 8]
        rows.append((path.name, f"a {hue} {a} and a {other} {b} near picture {number}"))
    with (work / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "caption"), *rows])
    embed = {"image_embeddings": {"stage": "embed_images", "images": "images", "clip": clip}}
    three = {f"{x}_embeddings": f"{x}_embeddings" for x in ("image", "text", "object")}
    joint = {
        "captions": {
            **outside.captioner(bench.captioner, num_beams=3, max_new_tokens=bench.longest),
            "precision": clip["precision"],
            "device": clip["device"],
        },
        "written": {
            "stage": "provided",
            "images": "images",
            "file": str(work / "captions.csv"),
            "key": "path",
        },
        "objects": {
            "stage": "parse",
            "captions": "written",
            "model": str(outside.MODELS / "parser"),
        },
        "regions": {
            "stage": "ground",
            "images": "images",
            "objects": "objects",
            "method": "patches",
            "clip": clip,
        },
        **embed,
        "text_embeddings": {
            "stage": "embed_texts",
            "captions": "written",
            "objects": "objects",
            "clip": clip,
        },
        "object_embeddings": {
            "stage": "embed_objects",
            "images": "images",
            "regions": "regions",
            "clip": clip,
        },
        "misalignment": {"stage": "misalign", "captions": "written", "objects": "objects", **three},
    }
    size = {"layout": "unlabelled", "part_size": options.part_size}
    return {
        "embed": outside.write_dag(
            work / "embed.yaml", {"root": str(work / "images"), **size}, embed
        ),
        "joint": outside.write_dag(work / "joint.yaml", {"root": str(some), **size}, joint),
    }


def run(dag: Path, store: Path, *more: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """When the command was started (seconds since the epoch), and what it answered."""
    started = time.time()
    command = [sys.executable, "-m", "pipeline", "run", str(dag), "--store", str(store), *more]
    answer = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise SystemExit(f"{answer.stdout[-2000:]}\n{answer.stderr[-3000:]}")
    return started, answer


def parts(store: Path, stage: str) -> list[tuple[float, float, int]]:
    """(end, seconds at work, images) of each part of a stage, ends since the epoch, by end."""
    found = []
    for path in store.glob(f"{stage}/*/part-*.parquet"):
        about = pq.read_metadata(path).metadata
        end = datetime.fromisoformat(about[b"item.finished"].decode()).timestamp()
        found.append((end, float(about[b"item.seconds_infer"]), int(about[b"item.rows_in"])))
    return sorted(found)


def rate(store: Path, stages: list[str]) -> tuple[float, float]:
    """(images a second, end of the first part) of what `stages` committed together.

    From the first part's start, without the time in which its models were loaded, to the last
    one's end.
    """
    made = [parts(store, stage) for stage in stages]
    first = max(some[0][0] for some in made)
    began = first - sum(some[0][1] for some in made)
    images = sum(count for *_, count in made[0])
    return images / (max(some[-1][0] for some in made) - began), first


def measure_embed(bench: gpu.Bench, files: dict[str, Path], work: Path, more: list[str]) -> None:
    """`item run` of the image embeddings alone."""
    bare = bare_rates(bench, ["image"])["image"]
    gpu.line("bare encode_image", bare)
    started, answer = run(files["embed"], work / "embed-store", *more)
    found, first = rate(work / "embed-store", ["embed_images"])
    gpu.line("item run, image embeddings", found, bare, f"first part after {first - started:.1f} s")
    _said(answer)


def measure_joint(bench: gpu.Bench, files: dict[str, Path], work: Path, more: list[str]) -> None:
    """`item run` of the joint pass, against the sum of its bare parts."""
    started, answer = run(files["joint"], work / "joint-store", *more)
    store = work / "joint-store"
    stages = ["caption", "ground", "embed_images", "embed_objects", "embed_texts"]
    found, first = rate(store, stages)
    images = sum(count for *_, count in parts(store, "caption"))
    objects = outside.table(store, "object_embeddings").num_rows
    texts = outside.table(store, "text_embeddings").num_rows
    bare = bare_rates(bench, ["image", "caption", "patches", "text"])
    each = 1 / bare["caption"] + (1 + objects / images) / bare["image"] + 1 / bare["patches"]
    each += texts / images / bare["text"]
    for name, value in bare.items():
        gpu.line(f"bare {name}", value)
    note = f"first part after {first - started:.1f} s; {objects / images:.1f} objects an image"
    gpu.line("item run, joint pass", found, 1 / each, note)
    _said(answer)


def _said(answer: subprocess.CompletedProcess[str]) -> None:
    for text in answer.stderr.splitlines():
        if "batch" in text or "worker" in text:
            print(f"    {text[:150]}")


def bare_rates(bench: gpu.Bench, wanted: list[str]) -> dict[str, float]:
    """Items a second of the bare loops over finished tensors, each in a good batch."""
    from transformers import BlipForConditionalGeneration

    found = {}
    model, transform = bench.open_clip()
    some = bench.images.slice(0, min(len(bench.images), 8 * bench.batch))
    batches = bench.in_memory(some, gpu.Pixels(transform).prepare, bench.batch)

    def each(call: Any) -> Any:
        def loop() -> None:
            with torch.inference_mode():
                for pixels in batches:
                    call(pixels)

        return loop

    if "image" in wanted:
        found["image"] = len(some) / bench.seconds(each(model.encode_image), 2)
    if "patches" in wanted:
        stage = bench.stage("embed_images", {"clip": bench.spec}, images=some.slice(0, 1))
        (clip,) = stage.loaded
        clip._batch = lambda pixels: pixels
        found["patches"] = len(some) / bench.seconds(each(clip.encode_patches), 2)
    if "text" in wanted:
        tokens = clip.tokenizer([f"a {h} {n} near a table" for h in HUES for n in NOUNS])
        tokens = tokens.repeat(4, 1)[:256].to(bench.device)
        texts = each(lambda pixels: model.encode_text(tokens))
        found["text"] = len(tokens) * len(batches) / bench.seconds(texts, 2)
    if "caption" in wanted:
        captioner = BlipForConditionalGeneration.from_pretrained(bench.captioner, dtype=bench.dtype)
        captioner = captioner.to(bench.device).eval()
        stage = bench.stage(
            "caption",
            {"model": str(bench.captioner), "precision": bench.precision, "device": bench.device},
            images=some.slice(0, 1),
        )
        size = min(len(bench.few), bench.sizes[-2])
        batches = bench.in_memory(bench.few.slice(0, 2 * size), stage.loaded[0].prepare, size)
        generate = each(
            lambda pixels: captioner.generate(
                pixels, num_beams=3, max_new_tokens=bench.longest, do_sample=False
            )
        )
        found["caption"] = min(len(bench.few), 2 * size) / bench.seconds(generate, 1)
    return found


def measure_agree(bench: gpu.Bench, files: dict[str, Path], work: Path, more: list[str]) -> None:
    """The demo's nodes in fp32 on the processor and on the device, table by table."""
    names = ("captions", "image_embeddings.clip", "regions.clip", "text_embeddings.clip")
    for device in ("cpu", bench.device):
        sets = [f"{name}.device={device}" for name in (*names, "object_embeddings.clip")]
        words = [word for one in sets for word in ("--set", one)]
        limit = "8" if bench.batch == 8 else "300"
        store = work / f"agree-{device}"
        run(Path("demo"), store, "--until", "features", "--limit", limit, *words, *more)
    for node, keys in (
        ("captions", ["image_id"]),
        ("regions", ["image_id", "object_no"]),
        ("image_embeddings", ["image_id"]),
        ("text_embeddings", ["text_id"]),
        ("object_embeddings", ["image_id", "object_no"]),
    ):
        tables = []
        for device in ("cpu", bench.device):
            table = outside.table(work / f"agree-{device}", node)
            tables.append(table.sort_by([(key, "ascending") for key in keys]))
        print(f"agree: {node:18} {_difference(node, *tables)}")


def _difference(node: str, one: Any, other: Any) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} rows"
    if node == "captions":
        same = sum(a == b for a, b in zip(one["caption"], other["caption"], strict=True))
        return f"{same} of {len(one)} the same"
    if node == "regions":
        boxes = [
            np.stack([t[c].to_numpy() for c in ("x0", "y0", "x1", "y1")], 1) for t in (one, other)
        ]
        apart = np.nan_to_num(np.abs(boxes[0] - boxes[1])).max(1)
        return f"{int((apart > 0).sum())} of {len(one)} boxes differ, at most by {apart.max():.3f}"
    both = []
    for table in (one, other):
        column = table["embedding"].combine_chunks()
        column = column.fill_null([0.0] * column.type.list_size)
        both.append(column.flatten().to_numpy().reshape(len(table), -1).astype(np.float64))
    apart = np.abs(both[0] - both[1]).max()
    lengths = [np.linalg.norm(side, axis=1) for side in both]
    cosines = (both[0] * both[1]).sum(1)[lengths[0] > 0] / (lengths[0] * lengths[1])[lengths[0] > 0]
    return f"components differ by at most {apart:.1e}, least cosine {cosines.min():.7f}"


MEASURES = {"embed": measure_embed, "joint": measure_joint, "agree": measure_agree}


def main(words: list[str] | None = None) -> int:
    """Prints the device, the date and the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", choices=tuple(MEASURES), default=list(MEASURES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="bundled models")
    parser.add_argument("--images", type=int, default=8192)
    parser.add_argument("--joint", type=int, default=2048, help="images of the joint pass")
    parser.add_argument("--captions", type=int, default=1024, help="of the bare loop")
    parser.add_argument("--longest", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--decoders", type=int)
    parser.add_argument("--part-size", type=int, default=1024)
    parser.add_argument("--checkpoints", type=Path, help="where full-size models are, or go")
    options, more = parser.parse_known_args(words)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("not measured: no CUDA device")
        return 0
    name = "CPU" if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    print(
        f"{name}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}"
    )
    print(f"{'what':44} {'images/s':>9} {'of bare':>7}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bench = gpu.Bench(options, work)
        files = dags(bench, work, options)
        for one in options.only:
            MEASURES[one](bench, files, work, more)
            gpu.models.forget()
            if options.device.startswith("cuda"):
                torch.cuda.empty_cache()
        decoders.forget()
    return 0


if __name__ == "__main__":
    sys.exit(main())
