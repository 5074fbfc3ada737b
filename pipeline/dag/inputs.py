"""What the methods of an experiment read, and from which of the DAG's tables that is made."""

from collections.abc import Collection

from pipeline.plugins import offered
from pipeline.plugins.kinds import Baseline, Feature

Ways = tuple[frozenset[str], ...]


def _ways(*several: str) -> Ways:
    return tuple(frozenset(tables.split()) for tables in several)


_PAIR = "image_embeddings captions text_embeddings"

# matrix, a row an image (`pipeline.head.vectors.matrices` says what is in each) -> the tables that
# it is made from; of several ways the first counts whose tables some node makes
MATRICES = {
    "global": _ways("features", _PAIR),
    "local": _ways("features", "objects object_embeddings text_embeddings"),
    "image": _ways("image_embeddings"),
    "text": _ways("captions text_embeddings"),
    "scalars": _ways("features"),
    "metadata": _ways("images"),
    "cosine_global": _ways("features", _PAIR),
    "raw_image": _ways("image_embeddings"),
}
# what a head has to beat, in the table's order (`pipeline.head.methods.baselines` says what each
# is) -> the matrices that it reads, side by side; none: those of the experiment's own head
BASELINES = {
    "linear probe": ("image",),
    "k-NN": ("image",),
    "linear head": (),
    "pair probe": ("image", "text"),
    "concat MLP": ("image", "text"),
    "caption text": ("text",),
    "metadata": ("metadata",),
    "cosine": ("cosine_global",),
}


OWN = ("global", "local", "image", "text", "scalars")  # features of `item` itself


def feature(name: str) -> Feature | None:
    """The feature that a plugin offers under this name, if any does."""
    offer = None if name in MATRICES else offered.find("feature", name)
    return offer.value if offer else None


def baseline(name: str) -> Baseline | None:
    """The baseline that a plugin offers under this name, if any does."""
    offer = None if name in BASELINES else offered.find("baseline", name)
    return offer.value if offer else None


def read_by(name: str) -> tuple[str, ...]:
    """The matrices that a baseline reads; none: those of the experiment's own head."""
    own = baseline(name)
    return BASELINES[name] if own is None else own.reads


def embedding_of(node: str) -> str:
    """The matrix of the image embeddings that a node makes, of any model."""
    return f"node:{node}"


def ways_of(matrix: str) -> Ways:
    """The tables, or the node, that a matrix is made from."""
    node = matrix.removeprefix("node:")
    if own := feature(matrix):
        return (frozenset(own.reads),)
    return MATRICES[matrix] if node == matrix else (frozenset({node}),)


def way(ways: Ways, made: Collection[str]) -> frozenset[str] | None:
    """The first of the ways of which all tables are made; None if there is none."""
    return next((one for one in ways if one <= set(made)), None)


def in_words(ways: Ways) -> str:
    """Such as `features, or captions + text_embeddings`."""
    return ", or ".join(" + ".join(sorted(one)) for one in ways)
