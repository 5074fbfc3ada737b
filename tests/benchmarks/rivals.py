"""What a user would write instead: images to CLIP vectors in Parquet, in four well-known ways.

    python -m tests.benchmarks.rivals NAME IMAGES OUT MODEL [KEY=VALUE ...]

NAME is `loader` (a PyTorch DataLoader loop), `datasets` (Hugging Face `map`), `ray` (Ray Data
`map_batches`) or `daft`. Each opens the files with Pillow, transforms and embeds them with
open_clip in float32, and writes path and float16 unit vector. `peers.py` starts them and takes the
time; for it each process leaves in OUT/marks when it first called the model. Exit status 3: not
installed.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NOT_INSTALLED = 3
_models: dict[str, "Model"] = {}  # of this process


class Model:
    """The CLIP of a folder in this process, with `threads` of torch."""

    def __init__(self, folder: str, marks: str, threads: int = 1):
        import open_clip
        import torch

        torch.set_num_threads(threads)
        self.model, self.preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self.model.eval()
        self.mark = Path(marks) / str(os.getpid())

    def open(self, path: str) -> Any:
        """The transformed image, float32 [3, h, w]."""
        from PIL import Image

        with Image.open(path) as image:
            return self.preprocess(image.convert("RGB"))

    def encode(self, pixels: Any) -> pa.Array:
        """Unit vectors of a batch [n, 3, h, w], fixed_size_list<float16>[d]."""
        import torch

        if not self.mark.exists():
            self.mark.write_text(str(time.time()))
        with torch.inference_mode():
            vectors = self.model.encode_image(pixels)
            vectors = (vectors / vectors.norm(dim=-1, keepdim=True)).numpy().astype(np.float16)
        return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])

    def files(self, paths: Sequence[str]) -> pa.Array:
        """Unit vectors of a batch of files."""
        import torch

        return self.encode(torch.stack([self.open(path) for path in paths]))


def here(folder: str, marks: str) -> Model:
    """The model of this process, loaded by its first call."""
    if folder not in _models:
        _models[folder] = Model(folder, marks)
    return _models[folder]


def width(folder: str) -> int:
    """The vectors' width d."""
    config = json.loads((Path(folder) / "open_clip_config.json").read_text())
    return config["model_cfg"]["embed_dim"]


class Files:
    """A map-style dataset of transformed images."""

    def __init__(self, paths: list[str], model: Model):
        self.paths, self.model = paths, model

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return self.paths[index], self.model.open(self.paths[index])


def loader(
    paths: list[str], out: Path, model: str, workers: int = 2, threads: int = 1, batch: int = 16
) -> None:
    """A DataLoader that decodes in `workers` processes, and a loop over its batches."""
    from torch.utils.data import DataLoader

    clip = Model(model, str(out / "marks"), threads)
    names: list[str] = []
    vectors: list[pa.Array] = []
    for some, pixels in DataLoader(Files(paths, clip), batch_size=batch, num_workers=workers):
        names += some
        vectors.append(clip.encode(pixels))
    table = pa.table({"path": names, "embedding": pa.chunked_array(vectors)})
    pq.write_table(table, out / "embeddings.parquet", use_dictionary=False)


def datasets(paths: list[str], out: Path, model: str, processes: int = 2, batch: int = 16) -> None:
    """`Dataset.map` in forked processes, the image column decoded by the library."""
    from datasets import Dataset, Features, Image, List, Value, disable_progress_bars

    disable_progress_bars()
    marks = str(out / "marks")
    rows = Dataset.from_dict({"path": paths, "image": paths}).cast_column("image", Image())

    def embed(some: dict[str, list[Any]]) -> dict[str, Any]:
        import torch

        clip = here(model, marks)
        pixels = torch.stack([clip.preprocess(image.convert("RGB")) for image in some["image"]])
        vectors = clip.encode(pixels)
        return {"embedding": list(vectors.values.to_numpy().reshape(len(vectors), -1))}

    features = Features(
        {"path": Value("string"), "embedding": List(Value("float16"), width(model))}
    )
    done = rows.map(
        embed,
        batched=True,
        batch_size=batch,
        num_proc=processes if processes > 1 else None,
        remove_columns=["image"],
        features=features,
        cache_file_name=str(out / "cache.arrow"),
    )
    done.to_parquet(str(out / "embeddings.parquet"))


def ray(paths: list[str], out: Path, model: str, actors: int = 2, batch: int = 16) -> None:
    """Ray Data: actors of one thread over batches of paths."""
    import ray as library

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # an actor keeps its core: reading and writing wait for ever without one of their own
    library.init(num_cpus=actors + 2, include_dashboard=False, log_to_driver=False)
    library.data.DataContext.get_current().enable_progress_bars = False
    marks = str(out / "marks")

    class Embed:
        def __init__(self) -> None:
            self.clip = Model(model, marks)

        def __call__(self, batch: pa.Table) -> pa.Table:
            vectors = self.clip.files(batch["path"].to_pylist())
            return pa.table({"path": batch["path"], "embedding": vectors})

    rows = library.data.from_arrow(pa.table({"path": paths})).repartition(4 * actors)
    strategy = library.data.ActorPoolStrategy(size=actors)
    done = rows.map_batches(
        Embed, batch_size=batch, batch_format="pyarrow", compute=strategy, num_cpus=1
    )
    done.write_parquet(str(out / "embeddings"))


def daft(paths: list[str], out: Path, model: str, processes: int = 2, batch: int = 16) -> None:
    """Daft: a class in processes of one thread over batches of paths."""
    import daft as library

    kind = library.DataType.fixed_size_list(library.DataType.float16(), width(model))
    marks = str(out / "marks")

    @library.udf(return_dtype=kind, batch_size=batch, concurrency=processes, use_process=True)
    class Embed:
        def __init__(self) -> None:
            self.clip = Model(model, marks)

        def __call__(self, batch: Any) -> Any:
            return self.clip.files(batch.to_pylist())

    rows = library.from_pydict({"path": paths}).into_batches(batch)
    rows = rows.with_column("embedding", Embed(rows["path"]))
    rows.write_parquet(str(out / "embeddings"))


RIVALS = {"loader": loader, "datasets": datasets, "ray": ray, "daft": daft}


def main(name: str, images: str, out: str, model: str, *settings: str) -> None:
    """Runs one rival over the files below `images`; 3 when its package is not installed."""
    folder = Path(out)
    (folder / "marks").mkdir(parents=True)
    paths = sorted(str(file) for file in Path(images).rglob("*") if file.is_file())
    chosen = {key: int(value) for key, value in (one.split("=") for one in settings)}
    try:
        RIVALS[name](paths, folder, model, **chosen)
    except ModuleNotFoundError as missing:
        if missing.name not in RIVALS:
            raise
        sys.exit(NOT_INSTALLED)


if __name__ == "__main__":
    main(*sys.argv[1:])
