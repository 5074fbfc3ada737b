"""All matrices that an experiment's methods read, part by part: features, and baselines' inputs."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.vectors.baseline_inputs import caption_embedding, metadata
from pipeline.head.vectors.gather import gather
from pipeline.head.vectors.parts import Part, Parts, locate
from pipeline.head.vectors.represent import misalignment, pool, represent
from pipeline.head.vectors.unit_pairs import Pairs, global_pairs, local_pairs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ALIASES = {"image": "image_embedding", "text": "caption_embedding"}  # feature -> its matrix
_BASELINES = {"image_embedding", "caption_embedding", "metadata", "cosine_global"}


def needed(experiment: Experiment) -> set[str]:
    """The names of the matrices that the experiment's methods read."""
    features = {ALIASES.get(feature, feature) for feature in experiment.features}
    return features | _BASELINES | ({"raw_image"} if experiment.foreign else set())


def methods(experiment: Experiment) -> list[list[str]]:
    """The matrices side by side of each head that is trained."""
    heads = [*experiment.heads.values(), ("image_embedding", "caption_embedding")]
    return [[ALIASES.get(name, name) for name in names] for names in heads]


def tables(experiment: Experiment) -> set[str]:
    """The tables that they are made from."""
    read = {"images", "captions", "text_embeddings", "image_embeddings", "features"}
    return read | ({"objects", "object_embeddings"} if _from_pairs(experiment, "local") else set())


def part_matrices(
    part: Part, experiment: Experiment, formats: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The `needed` matrices of a part's images, in their order, a row an image.

    [m, width]: float16 where the cache has such numbers, else float32. `global` and `local` are
    the cached ones where the experiment wants just these (unit differences, averaged), and
    otherwise come from the cached embeddings: no image is opened and no stage is run. `formats`:
    of all images, for `metadata`. Raises UserError for what these refuse.
    """
    computed = {name for name in ("global", "local") if _from_pairs(experiment, name)}
    x = gather(part, needed(experiment) - computed)
    x["caption_embedding"] = caption_embedding(part)
    x["metadata"] = metadata(part, formats)
    if "global" in computed:
        found = represent(global_pairs(part), experiment.representation)
        x["global"] = _finite(found, "global", part)
    if "local" in computed:
        pairs = local_pairs(part, experiment.phrase_template)
        x["local"] = _finite(_local(pairs, len(part), experiment), "local", part)
    return x


def matrices(
    connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray, experiment: Experiment
) -> dict[str, np.ndarray]:
    """The `needed` matrices of these images, in their order, an image once or often; in memory.

    float32 [n, width]. Raises UserError as `locate`, `Parts.check` and `part_matrices` do.
    """
    encoded = image_ids.combine_chunks().dictionary_encode()
    parts = locate(connection, encoded.dictionary)
    parts.check(tables(experiment))
    x = fill(parts, experiment)
    return {name: values[encoded.indices.to_numpy()] for name, values in x.items()}


def fill(parts: Parts, experiment: Experiment) -> dict[str, np.ndarray]:
    """The `needed` matrices of all images of the parts, float32 [count, width]."""
    x: dict[str, np.ndarray] = {}
    for part in parts:
        for name, values in part_matrices(part, experiment, parts.formats).items():
            whole = x.setdefault(name, np.empty((parts.count, values.shape[1]), np.float32))
            check_width(name, part, values.shape[1], whole.shape[1])
            whole[part.rows] = values
    return x


def check_width(name: str, part: Part, width: int, expected: int) -> None:
    """UserError when a part's matrix is not as wide as those of the parts before it."""
    if width != expected:
        raise UserError(
            f"'{name}' has {width} numbers an image in {part.name}, and {expected} in the parts "
            "before it",
            part.name,
            "they come from different CLIP models: give each its own node, and train on one",
        )


def _from_pairs(experiment: Experiment, feature: str) -> bool:
    """Whether a feature is not what the node `features` has made."""
    cached = (experiment.representation, experiment.pooling) == ("unit_difference", "mean")
    return feature in experiment.features and not cached


def _finite(x: np.ndarray, feature: str, part: Part) -> np.ndarray:
    if not np.isfinite(x).all():
        raise UserError(
            f"the feature '{feature}' of {int((~np.isfinite(x).all(axis=1)).sum()):,} images is "
            f"not finite in {part.name}",
            "image_embeddings, object_embeddings, text_embeddings",
            "raw_difference needs the column `norm` of all of them",
        )
    return x


def _local(pairs: Pairs, count: int, experiment: Experiment) -> np.ndarray:
    """float32 [count, width]: a row an image, zeros without objects."""
    return pool(
        represent(pairs, experiment.representation),
        pairs.position,
        misalignment(pairs, experiment.representation),
        count,
        experiment.pooling,
        experiment.top_k,
    )
