"""What the bootstrap draws from: images, each of them once, however many generators have it.

Where several generators are measured against the same real images, an image that is drawn twice is
there twice for all of them. Drawn anew for each, the figures of these generators would look as if
they were independent, and the interval of their mean would be too short.
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

Key = tuple[tuple[int, ...], int]


@dataclass(frozen=True)
class Population:
    """`size` images of one label, of which `members` (int64 [n], or all) belong to a generator.

    Generators that share any image of this label have one population together, and so the same
    random numbers: `seed` and the names of these generators decide them.
    """

    size: int
    members: np.ndarray | None
    seed: tuple[int, ...]
    label: int

    @property
    def key(self) -> Key:
        """Which population it is, whoever of it belongs to a generator."""
        return self.seed, self.label

    def numbers(self) -> np.random.Generator:
        """Random numbers from their beginning on."""
        return np.random.default_rng(self.seed).spawn(2)[self.label]


def populations(
    ids: np.ndarray,
    label: np.ndarray,
    groups: dict[str | None, np.ndarray],
    seed: int,
) -> dict[str | None, tuple[Population, Population]]:
    """Those of the reals and of the fakes of each group.

    `ids` int64 [n]: which image a row is of; `label` [n]: 0 real, 1 fake; `groups`: generator ->
    its rows, in each of which an image is there once.
    """
    found: dict[str | None, list[Population]] = {name: [] for name in groups}
    for value in (0, 1):
        own = {name: ids[rows[label[rows] == value]] for name, rows in groups.items()}
        for names in _together(own):
            numbers = _seed(seed, names)
            if len(names) == 1:
                (name,) = names
                found[name].append(Population(len(own[name]), None, numbers, value))
                continue
            together = np.unique(np.concatenate([own[name] for name in names]))
            for name in names:
                members = np.searchsorted(together, own[name])
                found[name].append(Population(len(together), members, numbers, value))
    return {name: (reals, fakes) for name, (reals, fakes) in found.items()}


def _together(own: dict[str | None, np.ndarray]) -> list[list[str | None]]:
    """The groups (name -> images) in sets that have no image in common with each other."""
    sets: list[tuple[list[str | None], np.ndarray]] = []
    for name, images in own.items():
        names, all_images = [name], images
        apart = []
        for other, theirs in sets:
            if len(np.intersect1d(all_images, theirs)):
                names, all_images = other + names, np.union1d(all_images, theirs)
            else:
                apart.append((other, theirs))
        sets = [*apart, (names, all_images)]
    return [names for names, _ in sets]


def _seed(seed: int, names: list[str | None]) -> tuple[int, ...]:
    """Another group more or less changes nothing for those that share no image with it."""
    digest = sha256("\0".join(sorted(name or "" for name in names)).encode()).digest()
    return (seed, *np.frombuffer(digest, "<u4").tolist())
