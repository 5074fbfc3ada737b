import pytest
import torch

from pipeline.errors import UserError
from pipeline.models.device import resolve


def test_auto_takes_cuda_only_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve("auto") == torch.device("cuda")


def test_a_device_that_was_asked_for_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match=r"'cuda:2' was asked for.*2 CUDA devices"):
        resolve("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"'cuda' was asked for.*0 CUDA devices"):
        resolve("cuda")


def test_an_unknown_device_names_the_known_ones():
    with pytest.raises(UserError, match="unknown device 'gpu'") as failure:
        resolve("gpu")
    assert "cuda" in failure.value.hint
