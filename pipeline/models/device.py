"""Which device a model runs on."""

from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch


def resolve(device: str) -> "torch.device":
    """`auto` is cuda where there is one, else cpu; a device asked for by name must be there.

    UserError for a name torch does not know, and for a device this machine does not have: a job
    that was meant for a GPU never runs silently on the CPU.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise UserError(f"unknown device '{device}'", hint="auto, cpu, cuda or cuda:N") from None
    if wanted.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= count:
            raise UserError(
                f"the device '{device}' was asked for, and this machine has {count} CUDA devices",
                f"torch {torch.__version__}",
                "check nvidia-smi and CUDA_VISIBLE_DEVICES, or set `device: auto`",
            )
    elif wanted.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("the device 'mps' was asked for and is not there", hint="use device: auto")
    return wanted
