import json

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.head.mlp import Head, load_head, save_head


def trained(folder, width=6, hidden=(4, 3)):
    torch.manual_seed(0)
    head = Head(width, hidden, dropout=0.5)
    head.standardise(torch.randn(50, width) * 3 + 1)
    save_head(head, folder, {"global": 4, "local": 2}, hidden, {"features": "abc"})
    return head


def test_standardise_uses_the_rows_mean_and_deviation():
    x = torch.tensor([[1.0, 5, 7], [3, 5, 7]])
    head = Head(3, [])
    head.standardise(x)
    assert head.scale.tolist() == [1, 0, 0]  # what never varied is left out
    assert head.shift.tolist() == [-2, 0, 0]
    torch.nn.init.ones_(head.layers[0].weight)
    torch.nn.init.zeros_(head.layers[0].bias)
    logits = head(torch.tensor([[4.0, 9, 9]]))
    assert logits.tolist() == [2.0]
    expected = 1 / (1 + np.exp(-2.0))
    assert head.probabilities(np.array([[4, 9, 9]], np.float32)) == pytest.approx(expected, 1e-12)


def test_a_head_comes_back_from_its_file_to_the_last_bit(tmp_path):
    head = trained(tmp_path)
    x = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
    again, about = load_head(tmp_path)
    assert np.array_equal(again.probabilities(x), head.probabilities(x))
    assert about["input"] == {"global": 4, "local": 2}
    assert about["hidden"] == [4, 3]
    assert about["without_objects"] == "zeros"
    assert about["made_from"] == {"features": "abc"}


def test_probabilities_do_not_depend_on_the_chunk(tmp_path, monkeypatch):
    head = trained(tmp_path)
    x = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
    whole = head.probabilities(x)
    monkeypatch.setattr("pipeline.head.mlp._CHUNK", 4)
    assert np.allclose(head.probabilities(x), whole, atol=1e-7)


def test_folders_without_a_sound_head_are_refused(tmp_path):
    with pytest.raises(UserError, match="no trained head here"):
        load_head(tmp_path)
    trained(tmp_path)
    about = json.loads((tmp_path / "head.json").read_text())
    (tmp_path / "head.json").write_text(json.dumps({**about, "input": {"global": 5}}))
    with pytest.raises(UserError, match=r"damaged: (?s:.*)size mismatch"):
        load_head(tmp_path)
    (tmp_path / "head.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(UserError, match="format 2; this version reads 1"):
        load_head(tmp_path)
    (tmp_path / "head.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_head(tmp_path)
    trained(tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"not tensors")
    with pytest.raises(UserError, match="damaged"):
        load_head(tmp_path)
