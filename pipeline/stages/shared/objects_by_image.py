"""Object rows, grouped by the image that has to be opened for them."""

import numpy as np
import pyarrow as pa

from pipeline.stages.shared.failure_reasons import positions


class PerImage:
    """The `images` (a table) that the wanted rows of an object table need, each of them once.

    `rows[i]` are the row numbers, int64, that belong to row i of `images`.
    """

    def __init__(self, images: pa.Table, objects: pa.Table, wanted: np.ndarray):
        numbers = np.flatnonzero(wanted)
        ids = objects["image_id"].take(pa.array(numbers))
        place = positions(ids, images["image_id"], "images")
        order = np.argsort(place, kind="stable")
        needed, starts = np.unique(place[order], return_index=True)
        self.images = images.take(pa.array(needed))
        self.rows = np.split(numbers[order], starts[1:]) if len(needed) else []

    def spread(self, per_image: list[str | None], per_row: np.ndarray) -> None:
        """Writes each image's error to all of its rows, in place."""
        for rows, error in zip(self.rows, per_image, strict=True):
            if error is not None:
                per_row[rows] = error
