"""What the baselines read beside the features: the caption's text, and the file's own facts.

From the tables `captions`, `text_embeddings` and `images`; a caption meets its embedding by its
text.
"""

import numpy as np
import pyarrow.compute as pc

from pipeline.errors import UserError
from pipeline.head.vectors.gather import matrix
from pipeline.head.vectors.parts import Part

_NUMBERS = ("bytes", "width", "height", "bytes_per_pixel", "jpeg_quality")


def caption_embedding(part: Part) -> np.ndarray:
    """float16 [m, d]: the unit text embedding of the whole caption of each of a part's images.

    Each text is embedded once in a part that has it. Raises UserError when an image's caption has
    no embedding.
    """
    captions = part.one("captions", ["caption"])["caption"]
    texts = part.whole("text_embeddings", ["text", "embedding"])
    texts = texts.filter(pc.is_valid(texts["embedding"]))
    place = pc.index_in(captions, value_set=texts["text"])
    if place.null_count:
        raise UserError(
            f"text_embeddings has {len(part) - place.null_count:,} rows for {len(part):,} images "
            f"of {part.name}",
            "text_embeddings",
            "compute them with `item run DAG`, then train again",
        )
    return matrix(texts, "text_embeddings", "embedding")[place.to_numpy()]


def metadata(part: Part, formats: tuple[str, ...]) -> np.ndarray:
    """float32 [m, 5 + f]: the facts of the files of a part's images.

    Bytes, width and height (pixels as stored), bytes per pixel, JPEG quality (0 for what is no
    JPEG), and a column of 0 and 1 for each of the f `formats`.
    """
    columns = ["bytes", "width", "height", "jpeg_quality", "format"]
    facts = part.one("images", columns)
    numbers = {name: facts[name].to_numpy().astype(np.float64) for name in columns[:-1]}
    numbers["bytes_per_pixel"] = numbers["bytes"] / (numbers["width"] * numbers["height"])
    found = pc.fill_null(facts["format"], "").to_numpy()
    one_hot = [found == name for name in formats]
    values = np.stack([*(numbers[name] for name in _NUMBERS), *one_hot], axis=1)
    return np.nan_to_num(values).astype(np.float32)
