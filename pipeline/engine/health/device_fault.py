"""A device whose error stays: after one, nothing that this process asks of the device succeeds.

A device-side assert or an illegal access destroys the CUDA context, and every later call fails with
the same error, whatever it computes. Only a new process has a device again.
"""

from typing import Any

# how torch and its libraries begin such a message; running out of memory is none of them
_SIGNS = ("CUDA error", "device-side assert", "cuDNN error", "HIP error")


class DeviceFault(Exception):
    """The device of a process is lost: why, on which worker, and whether by this very task.

    Not `first`: another task lost the device before, and this one was not begun.
    """

    def __init__(self, why: str, worker: str = "", first: bool = True):
        super().__init__(why, worker, first)
        self.why, self.worker, self.first = why, worker, first

    def __str__(self) -> str:
        return self.why


def pass_on(error: BaseException) -> None:
    """Raises DeviceFault when `error`, or what it comes from, is one that stays.

    Called where errors of stages are caught: to try again in this process would blame every image.
    """
    if isinstance(error, DeviceFault):
        raise error
    seen: set[int] = set()
    cause: Any = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if _stays(cause):
            first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            raise DeviceFault(f"{type(cause).__name__}: {first}"[:300]) from error
        cause = cause.__cause__ or cause.__context__


def _stays(error: BaseException) -> bool:
    if type(error).__name__ == "OutOfMemoryError":
        return False
    if type(error).__name__ == "AcceleratorError":  # torch's own class, since 2.8
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
