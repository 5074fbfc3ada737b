"""To the device and home again: bytes travel beside the computing, and nothing waits for them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_streams: dict[str, Any] = {}  # of each CUDA device, the one that copies to it


def to_device(arrays: Sequence[np.ndarray], device: Any) -> Any:
    """A tensor [n, ...] on `device` of n arrays of one shape and dtype.

    To a CUDA device each array is copied straight to its place, neighbours in memory (as decoding
    processes leave them) together, on a stream of its own; the current stream waits for them there.
    What is copied must stay as it is until a result of it is back.
    """
    import torch

    if device.type != "cuda" or not all(array.flags.writeable for array in arrays):
        return torch.from_numpy(np.stack(arrays)).to(device)
    copies = _streams.setdefault(str(device), None) or torch.cuda.Stream(device)
    _streams[str(device)] = copies
    with torch.cuda.stream(copies):
        dtype = torch.from_numpy(arrays[0]).dtype
        batch = torch.empty((len(arrays), *arrays[0].shape), dtype=dtype, device=device)
        for first, some in neighbours(arrays):
            batch[first : first + len(some)].copy_(torch.from_numpy(some), non_blocking=True)
    current = torch.cuda.current_stream(device)
    current.wait_stream(copies)
    batch.record_stream(current)
    return batch


def neighbours(arrays: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(place of the first, arrays [k, ...] as one) for each run that lies end to end in memory."""
    size, shape = arrays[0].nbytes, arrays[0].shape
    starts = [array.ctypes.data if array.flags.c_contiguous else None for array in arrays]
    first = 0
    for place in range(1, len(arrays) + 1):
        end, before = place == len(arrays), starts[place - 1]
        if end or before is None or starts[place] != before + size:
            run = arrays[first]
            if place - first > 1:
                strides = (size, *run.strides)
                run = np.lib.stride_tricks.as_strided(run, (place - first, *shape), strides)
                yield first, run
            else:
                yield first, run[None]
            first = place


class Home:
    """Tensors on their way to the host, since before anything else is launched.

    `arrays()` waits for them.
    """

    def __init__(self, *tensors: Any):
        import torch

        self._tensors, self._event = list(tensors), None
        if tensors[0].device.type == "cuda":
            self._tensors = [
                torch.empty(one.shape, dtype=one.dtype, pin_memory=True).copy_(
                    one, non_blocking=True
                )
                for one in tensors
            ]
            self._event = torch.cuda.Event(blocking=True)
            self._event.record(torch.cuda.current_stream(tensors[0].device))

    def arrays(self) -> list[np.ndarray]:
        """The tensors as arrays, in the order in which they were given."""
        if self._event is not None:
            self._event.synchronize()
        return [tensor.numpy() for tensor in self._tensors]

    def rows(self) -> Iterator[tuple[np.ndarray, ...]]:
        """What the arrays have in their first row, in their second, and so on."""
        return zip(*self.arrays(), strict=True)


def pin(buffer: np.ndarray) -> None:
    """Fixes memory in its place, so that a CUDA device fetches from it by itself.

    Where it cannot be, copies go through the driver's own buffer, as they do from any memory.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.cudart().cudaHostRegister(buffer.ctypes.data, buffer.nbytes, 0)
