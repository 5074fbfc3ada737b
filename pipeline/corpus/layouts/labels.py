"""What a path says of an image, and what a layout is."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

SPLITS = ("train", "val", "test")
Folders = tuple[str, ...]  # the folders of a path below the root, outermost first


@dataclass(frozen=True)
class Labels:
    """What a path says of an image; None where it does not say."""

    label: int | None = None  # 0 real, 1 fake
    generator: str | None = None
    dataset: str | None = None
    split: str | None = None  # train, val or test
    class_name: str | None = None
    released: str | None = None  # when its generator was, YYYY-MM-DD


class Misfit(ValueError):
    """A path that does not fit the layout; the message says why."""


@dataclass(frozen=True)
class Doubt:
    """Why a root may be a level too high or low though its paths fit, and the folder to use.

    `folder` is relative to the root (`..` is the one above); `sure`: nothing else can be meant.
    """

    why: str
    folder: str
    sure: bool


@dataclass(frozen=True)
class Layout:
    """A named layout.

    `read` takes the folders of a path. `expects` says in a line what they must be, `source` where
    the corpus is documented. `doubts(places, root)` looks at all folders of a corpus, and its
    root's own name, for a root at the wrong level. `signs(places)`: whether they are surely this
    corpus; only then is it recognised where nothing is stated. A layout `refines` those whose paths
    it reads more of.
    """

    name: str
    expects: str
    read: Callable[[Folders], Labels]
    source: str = ""
    refines: tuple[str, ...] = ()
    signs: Callable[[Collection[Folders]], bool] | None = None
    doubts: Callable[[Collection[Folders], str], Doubt | None] | None = None
