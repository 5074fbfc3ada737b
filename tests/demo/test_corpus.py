"""The corpus as shipped, and the builder on pictures of its own."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.demo import corpus
from pipeline.demo.generators import CONDITIONED, FAKES, FAMILIES
from pipeline.demo.scenes import JPEG_QUALITIES, JPEG_SIDES, sample_scene
from pipeline.errors import UserError

DEMO = Path(__file__).parents[2] / "data" / "demo"
COUNTS = {("train", 0): 188, ("test", 0): 187, ("train", 1): 300, ("test", 1): 300}


@pytest.fixture(scope="module")
def truth():
    """Rows of the shipped ground truth."""
    return pq.read_table(DEMO / "scenes.parquet").to_pylist()


@pytest.fixture(scope="module")
def files():
    """Shipped files by uri: (bytes, size, luminance quantisation table), all decoded."""
    found = {}
    for path in sorted((DEMO / "corpus").rglob("*")):
        if path.is_file():
            with Image.open(path) as image:
                image.load()
                assert (image.format, image.mode) == ("JPEG", "RGB")
                table = tuple(image.quantization[0])
                uri = path.relative_to(DEMO / "corpus").as_posix()
                found[uri] = (path.read_bytes(), image.size, table)
    return found


def test_truth_matches_files(truth, files):
    assert [row["uri"] for row in truth] == sorted(files)
    for row in truth:
        split, generator, folder, _ = row["uri"].split("/")
        assert (split, generator) == (row["split"], row["generator"])
        assert folder == ("0_real", "1_fake")[row["label"]]


def test_counts(truth):
    counts = Counter((row["generator"], row["split"], row["label"]) for row in truth)
    assert counts == {(f, *key): n for f in FAMILIES for key, n in COUNTS.items()}


def test_no_two_files_hold_the_same_bytes(files):
    assert len({sha256(data).digest() for data, _, _ in files.values()}) == len(files) == 3900


def test_sizes_and_qualities_are_mixed_alike(truth, files):
    """No share of a size or a quality differs by more than 0.06 between real and fake."""
    for field, kinds in ((1, len(JPEG_SIDES)), (2, len(JPEG_QUALITIES))):
        shares = []
        for label in (0, 1):
            seen = Counter(files[row["uri"]][field] for row in truth if row["label"] == label)
            shares.append({kind: n / seen.total() for kind, n in seen.items()})
        real, fake = shares
        assert set(real) == set(fake)
        assert len(real) == kinds
        assert max(abs(real[kind] - fake[kind]) for kind in real) < 0.06


def test_truth_of_reals_is_the_scene(truth):
    reals = [row for row in truth if row["label"] == 0]
    assert len({row["seed"] for row in reals}) == len(reals) == 1500
    for row in reals[::25]:
        scene = sample_scene(row["seed"])
        assert row["prompt"] == scene.prompt
        assert (row["background"], row["texture"]) == (scene.background, scene.texture)
        assert [o["phrase"] for o in row["objects"]] == [o.phrase for o in scene.objects]
        for known, item in zip(row["objects"], scene.objects, strict=True):
            box = [known[side] for side in ("x0", "y0", "x1", "y1")]
            assert box == pytest.approx(item.box, abs=1e-6)


def test_truth_of_fakes_says_only_what_is_known(truth):
    for row in truth:
        if row["label"] == 1:
            conditioned = row["generator"] in CONDITIONED
            assert (row["prompt"] is not None) == (row["seed"] is not None) == conditioned
            assert row["objects"] is row["background"] is row["texture"] is None


def test_demo_data_is_small():
    assert sum(p.stat().st_size for p in DEMO.rglob("*") if p.is_file()) <= 40e6


def _noise(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f: rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8) for f in FAMILIES}


@pytest.fixture()
def tiny(monkeypatch):
    """A corpus of four real and four fake pictures a family and split."""
    monkeypatch.setattr(corpus, "REALS", {"train": 4, "test": 4})
    monkeypatch.setattr(corpus, "SPLITS", {"train": 4, "test": 4})


def test_builder_writes_files_and_truth(tiny, tmp_path):
    table = corpus.write_corpus(_noise(0), tmp_path)
    assert table.equals(pq.read_table(tmp_path / "scenes.parquet"))
    assert table.schema.equals(corpus.TRUTH_SCHEMA)
    uris = [p.relative_to(tmp_path / "corpus").as_posix() for p in tmp_path.rglob("*.jpg")]
    assert sorted(uris) == table["uri"].to_pylist()
    assert len(uris) == 2 * 8 * len(FAMILIES)
    assert not (tmp_path / "corpus.partial").exists()


def test_builder_repeats_itself(tiny, tmp_path):
    for name in ("a", "b"):
        corpus.write_corpus(_noise(0), tmp_path / name)
    for path in (tmp_path / "a").rglob("*.jpg"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_builder_refuses_a_repeated_picture(tiny, tmp_path):
    samples = {family: np.repeat(images[:1], 8, 0) for family, images in _noise(0).items()}
    with pytest.raises(UserError, match="same bytes"):
        corpus.write_corpus(samples, tmp_path)
    assert not (tmp_path / "corpus").exists()


def test_fakes_number_as_many_as_the_splits_hold():
    assert sum(corpus.SPLITS.values()) == FAKES
