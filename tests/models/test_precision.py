import pytest
import torch

from pipeline.models import precision
from pipeline.models.precision import dtype, resolve


@pytest.mark.parametrize("stated", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_a_stated_precision_stays(stated, device):
    assert resolve(stated, torch.device(device)) == stated


@pytest.mark.parametrize(
    ("device", "native", "used"),
    [
        ("cuda", True, "bf16"),
        ("cuda", False, "fp16"),
        ("cpu", True, "bf16"),
        ("cpu", False, "fp32"),
        ("mps", True, "fp32"),
    ],
)
def test_automatic_is_what_the_hardware_computes_in(device, native, used, monkeypatch):
    monkeypatch.setattr(precision, "_cuda_has_bf16", lambda device: native)
    monkeypatch.setattr(precision, "_processor_has_bf16", lambda: native)
    assert resolve("auto", torch.device(device)) == used


@pytest.mark.parametrize(("avx512", "amx"), [(True, False), (False, True), (False, False)])
def test_which_processors_compute_in_bf16(avx512, amx, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert resolve("auto", torch.device("cpu")) == ("bf16" if avx512 or amx else "fp32")


def test_a_torch_without_a_probe_stays_with_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert resolve("auto", torch.device("cpu")) == "fp32"


def test_dtypes():
    assert [dtype(name) for name in ("fp32", "bf16", "fp16")] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
    ]
