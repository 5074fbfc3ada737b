"""How many images a task takes in one go, so that what it has can be committed in time."""

from collections.abc import Sequence

from pipeline.dag.graph import Node

COMMIT = 30.0  # seconds of work after which what there is is committed: a kill costs no more
_SLICE = 12.0  # seconds that one go should take: shorter ones leave a device's batches half full
_FIRST = 32  # images in the first go, whose pace nobody knows
# goes are whole multiples: so batches are the same ones however quick a machine is, and a row
# depends as little as can be on what was computed beside it
_STEP = 16

Pace = dict[str, float]  # fingerprint -> seconds of one image

_known: Pace = {}  # of this process


def images(nodes: Sequence[Node]) -> int:
    """How many images these nodes should take in one go."""
    if not all(node.fingerprint in _known for node in nodes):
        return _FIRST
    fits = _SLICE / max(sum(_known[node.fingerprint] for node in nodes), 1e-9)
    return max(1, round(fits / _STEP)) * _STEP


def learn(node: Node, count: int, seconds: float) -> None:
    """A node took `seconds` for `count` images."""
    if count:
        _known[node.fingerprint] = seconds / count
