"""Where a distance lies among those of the real images that a DAG has in its store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.corpus.variants import variant_id
from pipeline.query import open_store
from pipeline.query.part_sql import literal

if TYPE_CHECKING:
    from pipeline.dag.graph import Dag
    from pipeline.store.parts import Store

LEVELS = ("global", "local")
STEPS = 1000  # a percentile to a tenth; more values of the reals than that are not kept


@dataclass(frozen=True)
class Percentiles:
    """Level -> float64 [STEPS + 1]: the distances of cached reals at 0, 0.1, … 100 per cent.

    A level that no cached real has is not there. `counts`: level -> of how many distances.
    """

    distances: Mapping[str, np.ndarray] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def of(self, level: str, distance: np.ndarray) -> np.ndarray:
        """float64 [n], 0 to 100: the share of cached reals that are closer, to a tenth.

        NaN where it is not known.
        """
        known = self.distances.get(level)
        if known is None:
            return np.full(len(distance), np.nan)
        share = np.interp(distance, known, np.linspace(0, 100, len(known)))
        return np.where(np.isnan(distance), np.nan, np.round(share, 1))

    @classmethod
    def cached(cls, graph: "Dag", store: "Store", variant: str) -> Self:
        """Those of a store's real images, in a variant; none where no node measures distances.

        UserError when the store has nothing of the DAG.
        """
        connection = open_store.connect(graph, store, runs=False)
        tables = connection.sql("select table_name from nodes").fetchall()
        if ("misalignment",) not in tables:
            return cls()
        suffix = literal(variant_id("", variant))
        shares = ", ".join(f"{step / STEPS}" for step in range(STEPS + 1))
        rows = connection.sql(f"""
            select level, quantile_cont(distance, [{shares}]), count(*)
            from misalignment
            where
                distance is not null
                and image_id in (
                    select image_id || {suffix} from listing where label = 0
                )
            group by level
        """).fetchall()
        return cls(
            {level: np.array(found, np.float64) for level, found, _ in rows},
            {level: count for level, _, count in rows},
        )
