"""All matrices that an experiment's methods read: its features, and the baselines' inputs."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import UserError
from pipeline.head.data import gather, lengths, positions, scalars
from pipeline.head.experiment import Experiment
from pipeline.head.inputs import gather_beside
from pipeline.head.pairs import Pairs, global_pairs, local_pairs
from pipeline.head.represent import misalignment, pool, represent

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def matrices(
    connection: "DuckDBPyConnection", image_ids: pa.ChunkedArray, experiment: Experiment
) -> dict[str, np.ndarray]:
    """Matrices for these images, in their order, an image once or often; float32 [n, width].

    By the names of the experiment's features, and by those of `data.gather` and
    `inputs.gather_beside`, which the baselines read; `raw_image` for foreign heads. `global` and
    `local` are the cached ones where the experiment wants just these (unit differences, averaged),
    and otherwise come from the cached embeddings: no image is opened and no stage is run. Raises
    UserError for what these refuse.
    """
    x = {**gather(connection, image_ids), **gather_beside(connection, image_ids)}
    x |= {"image": x["image_embedding"], "text": x["caption_embedding"]}
    if experiment.foreign:
        x["raw_image"] = x["image_embedding"] * lengths(connection, image_ids)
    if "scalars" in experiment.features:
        x["scalars"] = scalars(connection, image_ids)
    cached = (experiment.representation, experiment.pooling) == ("unit_difference", "mean")
    if not cached and {"global", "local"} & set(experiment.features):
        with positions(connection, image_ids) as (count, codes):
            if "global" in experiment.features:
                pairs = global_pairs(connection, count)
                found = represent(pairs, experiment.representation)
                x["global"] = _finite(found, "global")[codes]
            if "local" in experiment.features:
                pairs = local_pairs(connection, experiment.phrase_template)
                x["local"] = _finite(_local(pairs, count, experiment), "local")[codes]
    return x


def _finite(x: np.ndarray, feature: str) -> np.ndarray:
    if not np.isfinite(x).all():
        raise UserError(
            f"the feature '{feature}' of {int((~np.isfinite(x).all(axis=1)).sum()):,} images is "
            "not finite",
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
