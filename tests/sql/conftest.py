"""A small store with known content, in the exact format of the store's parts.

Images, by the letter that fills their ids: a real (progan); b fake (progan), also as jpeg_50;
c fake, listed by biggan and by sdxl; d real (biggan), cannot be decoded; e listed by biggan once as
real and once as fake. One more listed file could not be read at all.

Two trained runs of the experiment `cross`: `old` with the methods head and probe, and `new`, saved
a minute later by a version that measures more, with head alone.
"""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.query.questions import connect, execute, resolve
from pipeline.store.parts import write_part

A, B, C, D, E = (letter * 32 for letter in "abcde")
BJ = f"{B}-jpeg_50"
WIDTH = 4
FIRST, SECOND = [A, B, BJ], [C, D, E]  # the two parts
NO_CAPTION = "no caption: cannot be decoded"

CAPTIONS = {A: "a red cup on a box", B: "a cup", BJ: "a cup", C: "fog", D: None, E: "a dog"}
OBJECTS = {  # image: (phrase, head, local cosine)
    A: [("red cup", "cup", 0.9), ("box", "box", 0.5)],
    B: [("cup", "cup", 0.3)],
    BJ: [("cup", "cup", 0.1)],
    E: [("dog", "dog", 0.6)],
}
FACTS = {  # image: (width, height, format, jpeg_quality)
    A: (64, 48, "JPEG", 90),
    B: (64, 64, "PNG", None),
    C: (128, 64, "PNG", None),
    D: (None, None, None, None),
    E: (64, 48, "JPEG", 75),
}
LOGPROB = {A: -0.1, B: -0.5, BJ: -0.6, C: -0.3, E: -0.2}
GLOBAL = {A: 0.8, B: 0.4, BJ: 0.2, C: 0.6, E: 0.7}


def distance(cosine: float) -> float:
    return float(np.sqrt(2 - 2 * cosine))


def unit(number: int) -> np.ndarray:
    return np.eye(WIDTH, dtype=np.float32)[number % WIDTH]


def answer(connection, name: str, *columns: str, given: tuple[str, ...] = ()) -> list[tuple]:
    """These columns of a named query's rows."""
    rows = execute(connection, resolve(name), given).to_pylist()
    return [tuple(row[column] for column in columns) for row in rows]


def approx(value: float):
    return pytest.approx(value, abs=1e-6)


def _listing() -> dict[str, list]:
    rows = [
        ("biggan/0_real/d.jpg", D, 0, "biggan"),
        ("biggan/0_real/e.jpg", E, 0, "biggan"),
        ("biggan/0_real/unreadable.jpg", None, 0, "biggan"),
        ("biggan/1_fake/c.png", C, 1, "biggan"),
        ("biggan/1_fake/e.jpg", E, 1, "biggan"),
        ("progan/0_real/a.jpg", A, 0, "progan"),
        ("progan/1_fake/b.png", B, 1, "progan"),
        ("sdxl/1_fake/c.png", C, 1, "sdxl"),
    ]
    uri, ids, label, generator = zip(*rows, strict=True)
    return {
        "uri": list(uri),
        "image_id": list(ids),
        "label": list(label),
        "generator": list(generator),
        "dataset": ["toy"] * 8,
        "split": ["test"] * 5 + ["train"] * 2 + ["test"],
        "class_name": [None] * 8,
        "bytes": [100 + number for number in range(8)],
        **_facts([i or D for i in ids]),
        "error": ["permission denied" if i is None else None for i in ids],
    }


def _facts(ids: list[str]) -> dict[str, list]:
    names = ("width", "height", "format", "jpeg_quality")
    return {name: [FACTS[i[:32]][number] for i in ids] for number, name in enumerate(names)}


def _images(ids: list[str]) -> dict[str, list]:
    return {
        "image_id": ids,
        "variant": ["jpeg_50" if i == BJ else "clean" for i in ids],
        **_facts(ids),
        "error": ["cannot be decoded" if i == D else None for i in ids],
    }


def _per_object(ids: list[str]) -> list[tuple[str, int | None, tuple]]:
    """(image, object_no, object); an image without objects once, with a null object_no."""
    rows = []
    for i in ids:
        objects = OBJECTS.get(i, [])
        rows += [(i, number, found) for number, found in enumerate(objects)]
        rows += [] if objects else [(i, None, (None, None, None))]
    return rows


def _error(i: str) -> str | None:
    return NO_CAPTION if i == D else None


def _tables(ids: list[str]) -> dict[str, dict]:
    """Every table below `images` for one part."""
    rows = _per_object(ids)
    keys = {"image_id": [i for i, _, _ in rows], "object_no": [number for _, number, _ in rows]}
    errors = {"error": [_error(i) for i, _, _ in rows]}
    found = np.array([number is not None for _, number, _ in rows])
    texts = sorted({CAPTIONS[i] for i in ids if CAPTIONS[i]})
    good = np.array([i != D for i in ids])
    level = [(i, "global", None, (None, None, GLOBAL.get(i))) for i in ids]
    level += [(i, "local", number, found) for i, number, found in rows if number is not None]
    vectors = np.stack([unit(number) for number in range(len(ids))])
    local = [[cosine for _, _, cosine in OBJECTS.get(i, [])] for i in ids]
    return {
        "captions": {
            "image_id": ids,
            "caption": [CAPTIONS[i] for i in ids],
            "num_tokens": [len(CAPTIONS[i].split()) if CAPTIONS[i] else None for i in ids],
            "mean_logprob": [LOGPROB.get(i) for i in ids],
            "error": ["cannot be decoded" if i == D else None for i in ids],
        },
        "objects": {
            **keys,
            "phrase": [found[0] for _, _, found in rows],
            "head": [found[1] for _, _, found in rows],
            **errors,
        },
        "regions": {
            **keys,
            "x0": [0.0 if number is not None else None for _, number, _ in rows],
            "y0": [0.0 if number is not None else None for _, number, _ in rows],
            "x1": [0.5 if number is not None else None for _, number, _ in rows],
            "y1": [0.5 if number == 0 else found[2] and 1.0 for _, number, found in rows],
            "score": [found[2] for _, _, found in rows],
            **errors,
        },
        "image_embeddings": {
            "image_id": ids,
            "embedding": tables.vectors(vectors, good),
            "norm": [2.0 if ok else None for ok in good],
            "error": ["cannot be decoded" if i == D else None for i in ids],
        },
        "text_embeddings": {
            "text_id": [f"{number:032x}" for number in range(len(texts))],
            "text": texts,
            "embedding": tables.vectors(np.stack([unit(n) for n in range(len(texts))])),
            "norm": [1.0] * len(texts),
            "truncated": [False] * len(texts),
        },
        "object_embeddings": {
            **keys,
            "embedding": tables.vectors(np.stack([unit(n) for n in range(len(rows))]), found),
            **errors,
        },
        "misalignment": {
            "image_id": [row[0] for row in level],
            "level": [row[1] for row in level],
            "object_no": [row[2] for row in level],
            "phrase": [row[3][0] for row in level],
            "head": [row[3][1] for row in level],
            "cosine": [row[3][2] for row in level],
            "distance": [None if row[3][2] is None else distance(row[3][2]) for row in level],
            "error": [_error(row[0]) for row in level],
        },
        "features": {
            "image_id": ids,
            "global": tables.vectors(vectors, good),
            "local": tables.vectors(vectors, np.array([i in OBJECTS for i in ids])),
            "num_objects": [None if i == D else len(OBJECTS.get(i, [])) for i in ids],
            "cosine_global": [GLOBAL.get(i) for i in ids],
            "cosine_local": [float(np.mean(values)) if values else None for values in local],
            "error": [_error(i) for i in ids],
        },
    }


def written(path: Path, name: str, columns: dict, **facts: object) -> Path:
    """One part of a made-up table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_part(path, tables.build(name, columns, WIDTH), facts)
    return path


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[Path]]]:
    """Node name -> (table, parts) of the known store; every part took 1 + 2 + 0.5 seconds."""
    root = tmp_path_factory.mktemp("it's a=b")
    nodes: dict[str, tuple[str, list[Path]]] = {name: (name, []) for name in tables.COLUMNS}

    def add(name: str, number: int, columns: dict, keys: list, failed: int) -> None:
        path = written(
            root / f"stage_{name}" / name / f"part-{number:05d}-0123abcd.parquet",
            name,
            columns,
            node="called otherwise in the run that made it",
            rows_in=len(keys),
            rows_ok=len(keys) - failed,
            rows_failed=failed,
            seconds_read=1,
            seconds_infer=2,
            seconds_write=0.5,
            finished=f"2026-01-02T03:04:0{number}+00:00",
            host=f"host{number}",
            libraries=f"item 1, torch {number + 1}",
        )
        nodes[name][1].append(path)

    add("listing", 0, _listing(), _listing()["uri"], 1)
    for number, ids in enumerate((FIRST, SECOND)):
        add("images", number, _images(ids), ids, int(D in ids))
        for name, columns in _tables(ids).items():
            keys = columns["text_id"] if name == "text_embeddings" else ids
            add(name, number, columns, keys, int(D in keys))
    return nodes


# run: method: (generator, image, label, probability)
PREDICTED = {
    "old": {
        "head": [
            ("biggan", E, 0, 0.9),
            ("biggan", C, 1, 0.4),
            ("progan", A, 0, 0.1),
            ("progan", B, 1, 0.8),
        ],
        "probe": [
            ("biggan", E, 0, 0.2),
            ("biggan", C, 1, 0.3),
            ("progan", A, 0, 0.6),
            ("progan", B, 1, 0.7),
        ],
    },
    "new": {"head": [("progan", A, 0, 0.7), ("progan", B, 1, 0.95)]},
}
AP = {  # (run, method, generator): average precision
    ("old", "head", "biggan"): 0.5,
    ("old", "head", "progan"): 1.0,
    ("old", "probe", "biggan"): 1.0,
    ("old", "probe", "progan"): 0.9,
    ("new", "head", "progan"): 1.0,
}
VALIDATION_AP = {"head": 0.9, "probe": 0.95}
SAVED = {"old": 1_767_323_040, "new": 1_767_323_100}  # 2026-01-02T03:04 and 03:05, UTC


def _write_run(folder: Path, run: str) -> None:
    folder.mkdir(parents=True)
    rows = [(method, *row) for method, found in PREDICTED[run].items() for row in found]
    method, generator, image_id, label, probability = zip(*rows, strict=True)
    columns = {"method": method, "image_id": image_id, "variant": ["clean"] * len(rows)}
    columns["generator"] = generator
    columns |= {"split": ["test"] * len(rows), "label": label, "probability": probability}
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    metrics = []
    for (_, method, generator), ap in ((key, ap) for key, ap in AP.items() if key[0] == run):
        found = [row for row in PREDICTED[run][method] if row[0] == generator]
        right = {
            label: [(p >= 0.5) == label for _, _, y, p in found if y == label] for label in (0, 1)
        }
        row = {"experiment": "cross", "run_id": run, "method": method, "generator": generator}
        row |= {"variant": "clean", "train_variant": "clean"}
        row |= {"seen": generator == "progan", "ap": ap, "auroc": ap}
        row |= {"validation_ap": VALIDATION_AP[method]}
        row |= {"accuracy": float(np.mean(right[0] + right[1]))}
        row |= {"tnr": float(np.mean(right[0])), "tpr": float(np.mean(right[1])), "n": len(found)}
        metrics.append(row | ({"scope": "generator", "brier": 0.25} if run == "new" else {}))
    if run == "new":
        mean = {"scope": "mean", "generator": None, "seen": False, "ap": 0.125}
        metrics.append(metrics[-1] | mean)
        loss = dict.fromkeys(("learning_rate", "train_loss", "validation_loss"), 0.5)
        points = [
            {"method": "head", "epoch": epoch, **loss, "validation_ap": ap, "best": epoch == 2}
            for epoch, ap in ((1, 0.5), (2, 0.75))
        ]
        pq.write_table(pa.Table.from_pylist(points), folder / "curves.parquet")
    path = folder / "metrics.parquet"
    pq.write_table(pa.Table.from_pylist(metrics), path)
    os.utime(path, (SAVED[run], SAVED[run]))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of the two runs."""
    root = tmp_path_factory.mktemp("it's a=b runs")
    folders = [root / "cross" / run for run in PREDICTED]
    for folder in folders:
        _write_run(folder, folder.name)
    return folders


@pytest.fixture(scope="session")
def connection(known, runs):
    """A confined connection over the known store and its runs."""
    return connect(known, runs)
