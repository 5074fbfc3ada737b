"""All matrices that an experiment's methods read, part by part: features, and baselines' inputs."""

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import embedding_of, feature
from pipeline.errors import UserError, worded
from pipeline.head.vectors.baseline_inputs import caption_embedding, metadata
from pipeline.head.vectors.gather import gather, matrix
from pipeline.head.vectors.parts import Part, Parts, locate
from pipeline.head.vectors.represent import misalignment, pool, represent
from pipeline.head.vectors.unit_pairs import Pairs, global_pairs, local_pairs
from pipeline.plugins import offered
from pipeline.plugins.kinds import Feature

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def needed(experiment: Experiment) -> set[str]:
    """The names of the matrices that the experiment's methods read."""
    return set(chain(*experiment.reads.values()))


def part_matrices(
    part: Part, experiment: Experiment, parts: Parts, wanted: set[str] | None = None
) -> dict[str, np.ndarray]:
    """The `wanted` (default: `needed`) matrices of a part's images, in their order, a row an image.

    [m, width]: float16 where the cache has such numbers, else float32. `global` and `local` are
    the cached ones where the experiment wants just these (unit differences, averaged) and the DAG
    has them, and otherwise come from the cached embeddings: no image is opened and no stage is run.
    Raises UserError for what these refuse.
    """
    wanted = needed(experiment) if wanted is None else wanted
    cached = {"features"} if "features" in parts.tables else set()
    of_pairs = wanted & {"global", "local", "cosine_global"}
    computed = {name for name in of_pairs if cached not in experiment.ways(name)}
    x = gather(part, wanted - computed)
    if "text" in wanted:
        x["text"] = caption_embedding(part)
    if "metadata" in wanted:
        x["metadata"] = metadata(part, parts.formats)
    probed = {node for node in experiment.probes.values() if embedding_of(node) in wanted}
    for node in probed:
        x[embedding_of(node)] = matrix(part.one(node, ["embedding"]), node, "embedding")
    for name in wanted:
        if own := feature(name):
            x[name] = plugged_feature(part, own)
    if computed & {"global", "cosine_global"}:
        pairs = global_pairs(part)
        for name, how in (("global", experiment.representation), ("cosine_global", "cosine")):
            if name in computed:
                x[name] = _finite(represent(pairs, how), name, part)
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
    parts.check(experiment.tables(parts.tables))
    x = fill(parts, experiment)
    return {name: values[encoded.indices.to_numpy()] for name, values in x.items()}


def fill(parts: Parts, experiment: Experiment) -> dict[str, np.ndarray]:
    """The `needed` matrices of all images of the parts, float32 [count, width]."""
    x: dict[str, np.ndarray] = {}
    for part in parts:
        for name, values in part_matrices(part, experiment, parts).items():
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


def _finite(x: np.ndarray, feature: str, part: Part) -> np.ndarray:
    if not np.isfinite(x).all():
        raise UserError(
            f"the feature '{feature}' of {int((~np.isfinite(x).all(axis=1)).sum()):,} images is "
            f"not finite in {part.name}",
            "image_embeddings, object_embeddings, text_embeddings",
            "raw_difference needs the column `norm` of all of them",
        )
    return x


def plugged_feature(part: Part, own: Feature) -> np.ndarray:
    """float32 [m, width]: a plugin's feature. UserError where it fails, or gives no such matrix."""
    rows = {table: part.one(table, list(columns)) for table, columns in own.reads.items()}
    rows = {table: some.select(own.reads[table]) for table, some in rows.items()}
    try:
        x = np.asarray(own.make(rows), np.float32)
    except Exception as error:  # a user's code raises anything
        what = f"the feature '{own.name}' failed: {worded(error)}"
        raise UserError(what, offered.place_of(error) or part.name) from error
    if x.ndim != 2 or len(x) != len(part):
        raise UserError(
            f"the feature '{own.name}' is a matrix of {x.shape}, and there are {len(part)} images",
            part.name,
            "FEATURE.make gives a row an image, in the order of what it gets",
        )
    if not np.isfinite(x).all():
        what = f"the feature '{own.name}' has numbers that are not finite"
        raise UserError(what, part.name, "FEATURE.make says what stands for a null")
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
