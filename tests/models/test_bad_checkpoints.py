"""Checkpoints that are wrong, damaged or too large, as the user of the command meets them."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file
from transformers import BlipForConditionalGeneration
from typer.testing import CliRunner

from pipeline import models as loaded_models
from pipeline.cli.app import app
from tests.benchmarks import outside
from tests.conftest import DEMO_MODELS

USAGE, FAILED_ROWS = 2, 1
WEIGHTS = {"clip": "open_clip_model.safetensors", "captioner": "model.safetensors"}
NODE = {"clip": "image_embeddings", "captioner": "captions"}
KINDS = tuple(WEIGHTS)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The bundled models, copied so that a test may spoil them."""
    return Path(shutil.copytree(DEMO_MODELS, tmp_path / "models"))


@pytest.fixture
def item(tmp_path: Path, write_dag, models: Path):
    """`item COMMAND` on a small DAG with those models, in this process."""
    loaded_models.forget()
    dag = write_dag(models=models)

    def run(command: str, *options: str) -> Result:
        store = ("--store", str(tmp_path / "store"))
        return CliRunner().invoke(app, [command, str(dag), *options, *store])

    yield run
    loaded_models.forget()


def until(item, node: str) -> Result:
    return item("run", "--inline", "--until", node)


def refused(answer: Result, *said: str) -> None:
    """Exit status 2, each of `said` in the message, what to do next, and no traceback."""
    assert answer.exit_code == USAGE, answer.output
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert "Traceback" not in answer.output
    assert "next:" in answer.output, answer.output
    text = " ".join(answer.output.split())
    for words in said:
        assert words in text


def spoil(folder: Path, kind: str, spoilt: str) -> None:
    """Cuts the weights file short, or writes garbage into its place."""
    file = folder / WEIGHTS[kind]
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] if spoilt == "truncated" else b"\x93" * 4096)


def fill(file: Path, names: tuple[str, ...], value: float) -> None:
    """Sets whole tensors of a safetensors file."""
    weights = load_file(file)
    for name in names:
        weights[name] = torch.full_like(weights[name], value)
    save_file(weights, file, metadata={"format": "pt"})


def shift_ids(folder: Path) -> None:
    """Another vocabulary, as when the files of two checkpoints were mixed up."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for word in vocabulary:
        vocabulary[word] += 0 if word.startswith("[") else 1000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_another_family_is_refused(item, models, kind):
    other = KINDS[1 - KINDS.index(kind)]
    shutil.rmtree(models / kind)
    shutil.copytree(DEMO_MODELS / other, models / kind)
    refused(until(item, NODE[kind]), "could not be loaded", str(models / kind))


@pytest.mark.parametrize("spoilt", ["truncated", "garbage"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_corrupt_weights_file_is_named(item, models, kind, spoilt):
    spoil(models / kind, kind, spoilt)
    refused(until(item, NODE[kind]), "could not be loaded", str(models / kind))


def test_a_captioners_tokenizer_with_ids_beyond_the_embedding_is_refused(item, models):
    shift_ids(models / "captioner")
    refused(until(item, "captions"), "its tokenizer does not fit", str(models / "captioner"))


def test_a_clips_tokenizer_with_ids_beyond_the_embedding_stores_nothing(item, models, tmp_path):
    shift_ids(models / "clip")
    refused(until(item, "text_embeddings"), "tokenizer does not fit: it gave the token")
    assert not list((tmp_path / "store").glob("embed_texts/*/part-*"))


def test_nan_in_the_weights_gives_failed_rows_and_no_stored_nan(item, models, tmp_path):
    fill(models / "clip" / WEIGHTS["clip"], ("visual.proj",), float("nan"))
    answer = until(item, "image_embeddings")
    assert answer.exit_code == FAILED_ROWS, answer.output
    assert "12 of 12 rows failed" in answer.output
    table = outside.table(tmp_path / "store", "image_embeddings")
    assert table["error"].to_pylist() == ["embedding is not finite"] * 12
    assert table["embedding"].null_count == table["norm"].null_count == 12


def test_nan_in_the_captioner_gives_failed_rows(item, models, tmp_path):
    name = next(n for n in load_file(models / "captioner" / WEIGHTS["captioner"]) if "bias" in n)
    fill(models / "captioner" / WEIGHTS["captioner"], (name,), float("nan"))
    answer = until(item, "captions")
    assert answer.exit_code == FAILED_ROWS, answer.output
    table = outside.table(tmp_path / "store", "captions")
    assert table["caption"].null_count == table["mean_logprob"].null_count == 12
    assert table["error"].null_count == 0


@pytest.mark.parametrize("command", ["plan", "run"])
def test_clips_of_different_widths_are_not_compared(item, clip_folder, command):
    """128 numbers an image against 24 a text: said before anything is computed."""
    other = f"text_embeddings.clip.model=local-dir:{clip_folder}"
    answer = item(command, "--set", other)
    refused(answer, "'image_embeddings' and 'text_embeddings'", "nodes.misalignment")


@pytest.mark.parametrize("kind", KINDS)
def test_out_of_memory_with_one_image_says_what_to_do(item, monkeypatch, kind):
    sizes = []

    def full(self, pixel_values=None, *others, **options):
        pixels = others[0] if pixel_values is None else pixel_values
        sizes.append(len(pixels))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    if kind == "clip":
        monkeypatch.setattr(open_clip.CustomTextCLIP, "encode_image", full)
    else:
        monkeypatch.setattr(BlipForConditionalGeneration, "generate", full)
    refused(until(item, NODE[kind]), "out of memory with a single item", "Tried to allocate")
    assert sizes[0] > 1
    assert sizes[-1] == 1
