import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.dag.experiment import HeadConfig
from pipeline.errors import UserError
from pipeline.head.methods.mlp import Head, load_head, save_head
from pipeline.head.vectors.row_reader import InMemory


def trained(folder, **changes):
    torch.manual_seed(0)
    config = HeadConfig(**{"hidden": (4, 3), "dropout": 0.5, **changes})
    head = Head(6, config.hidden, config.dropout, config.activation, config.norm)
    head.standardise(InMemory(torch.randn(50, 6).numpy() * 3 + 1))
    widths = {"global": 4, "local": 2}
    save_head(head, folder, widths, {"pooling": "mean"}, {"features": "abc"}, "global+local")
    return head


def test_standardise_uses_the_rows_mean_and_deviation():
    x = torch.tensor([[1.0, 5, 7], [3, 5, 7]])
    head = Head(3, [])
    head.standardise(InMemory(x.numpy()))
    assert head.scale.tolist() == [1, 0, 0]  # what never varied is left out
    assert head.shift.tolist() == [-2, 0, 0]
    torch.nn.init.ones_(head.layers[0].weight)
    torch.nn.init.zeros_(head.layers[0].bias)
    logits = head(torch.tensor([[4.0, 9, 9]]))
    assert logits.tolist() == [2.0]
    expected = 1 / (1 + np.exp(-2.0))
    assert head.probabilities(np.array([[4, 9, 9]], np.float32)) == pytest.approx(expected, 1e-12)


@pytest.mark.parametrize(
    "changes", [{}, {"activation": "gelu", "norm": "layer"}, {"hidden": ()}, {"activation": "tanh"}]
)
def test_a_head_comes_back_from_its_file_to_the_last_bit(tmp_path, changes):
    head = trained(tmp_path, **changes)
    x = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
    again, about = load_head(tmp_path)
    assert np.array_equal(again.probabilities(x), head.probabilities(x))
    assert about["input"] == {"global": 4, "local": 2}
    assert about["hidden"] == list(changes.get("hidden", [4, 3]))
    assert about["activation"] == changes.get("activation", "relu")
    assert about["norm"] == changes.get("norm")
    assert about["pooling"] == "mean"
    assert about["without_objects"] == "zeros"
    assert about["made_from"] == {"features": "abc"}


def test_the_layers_are_those_of_the_configuration():
    kinds = [type(layer).__name__ for layer in Head(6, (4,), 0.1, "silu", "layer").layers]
    assert kinds == ["Linear", "LayerNorm", "SiLU", "Dropout", "Linear"]
    kinds = [type(layer).__name__ for layer in Head(6, (4,)).layers]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear"]


def test_features_of_another_width_are_refused_with_both_widths():
    with pytest.raises(UserError, match="reads 6 numbers an image, and these features have 8"):
        Head(6, (4,)).probabilities(np.zeros((2, 8), np.float32))


def test_probabilities_do_not_depend_on_the_chunk(tmp_path, monkeypatch):
    head = trained(tmp_path)
    x = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
    whole = head.probabilities(x)
    monkeypatch.setattr("pipeline.head.vectors.row_reader.BLOCK", 4)
    assert np.allclose(head.probabilities(x), whole, atol=1e-7)


def test_folders_without_a_sound_head_are_refused(tmp_path):
    with pytest.raises(UserError, match="no trained head here"):
        load_head(tmp_path)
    trained(tmp_path)
    about = json.loads((tmp_path / "head.json").read_text())
    (tmp_path / "head.json").write_text(json.dumps({**about, "input": {"global": 5}}))
    with pytest.raises(UserError, match=r"damaged: (?s:.*)size mismatch"):
        load_head(tmp_path)
    (tmp_path / "head.json").write_text(json.dumps({**about, "format": 1}))
    with pytest.raises(UserError, match="format 1; this version reads 3"):
        load_head(tmp_path)
    (tmp_path / "head.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_head(tmp_path)
    trained(tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"not tensors")
    with pytest.raises(UserError, match="damaged"):
        load_head(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"hidden": [10**12, 3]}, {"hidden": [1] * 10**6}, {"hidden": "4"}, {"activation": "exec"}],
)
def test_a_head_that_promises_more_than_its_file_holds_takes_no_memory(tmp_path, changes):
    trained(tmp_path)
    about = json.loads((tmp_path / "head.json").read_text())
    (tmp_path / "head.json").write_text(json.dumps({**about, **changes}))
    with pytest.raises(UserError, match="damaged"):
        load_head(tmp_path)


@pytest.mark.parametrize("values", [torch.full((1,), torch.nan), torch.zeros(1).double()])
def test_weights_that_are_no_finite_float32_are_refused(tmp_path, values):
    trained(tmp_path, hidden=())
    state = load_file(tmp_path / "head.safetensors")
    save_file({**state, "layers.0.bias": values}, tmp_path / "head.safetensors")
    with pytest.raises(UserError, match=r"damaged: layers\.0\.bias"):
        load_head(tmp_path)


def test_a_linear_head_is_the_logit_of_what_it_was_made_of():
    head = Head.linear([1.0, -2.0], 0.5, scale=[2.0, 1.0], shift=[0.0, 1.0])
    found = head.probabilities(np.array([[1, 3]], np.float32))
    assert found == pytest.approx(1 / (1 + np.exp(-(2 * 1 - 2 * (3 + 1) + 0.5))))
