"""Which number format a model computes in, and what `auto` means on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Used = Literal["fp32", "tf32", "bf16", "fp16"]
Precision = Literal["fp32", "tf32", "bf16", "fp16", "auto"]

_DTYPES = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def resolve(precision: Precision, device: "torch.device") -> Used:
    """The precision that a model on `device` computes in; a stated one is left as it is.

    `fp32` is float32 throughout, on every device. `tf32` lets matrix units of NVIDIA's Ampere and
    later round what they multiply to ten bits; elsewhere there is no such thing, and it is fp32.
    `auto` is bf16 where the hardware computes in it: on CUDA devices that do (else fp16), on
    processors with AVX512-BF16 or AMX. Everywhere else it is fp32: emulated bf16 is slower than
    fp32 is. A fingerprint holds the word `auto`, so that machines share a store; between them
    unit embeddings agree to about 1e-3 in cosine, and a caption may differ where two words are as
    good as equally likely.
    """
    if precision == "tf32" and not _has_tf32(device):
        return "fp32"
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if _cuda_has_bf16(device) else "fp16"
    if device.type == "cpu" and _processor_has_bf16():
        return "bf16"
    return "fp32"


def dtype(precision: Used) -> "torch.dtype":
    """The torch dtype of a precision that `resolve` gave."""
    import torch

    return getattr(torch, _DTYPES[precision])


@contextmanager
def computing(precision: Used) -> Iterator[None]:
    """Inference in exactly this precision: within it CUDA rounds to TF32 for `tf32` alone.

    torch's own default is TF32 in convolutions. The setting is the process's: see `turn`.
    """
    import torch

    places = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = precision == "tf32"
    try:
        with torch.inference_mode():
            yield
    finally:
        for place, allowed in zip(places, before, strict=True):
            place.allow_tf32 = allowed


def _has_tf32(device: "torch.device") -> bool:
    import torch

    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _cuda_has_bf16(device: "torch.device") -> bool:
    import torch

    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def _processor_has_bf16() -> bool:
    import torch

    # torch asks cpuinfo; other architectures, and versions of torch without a probe, say no
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
