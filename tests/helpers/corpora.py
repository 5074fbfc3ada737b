"""What is found in a corpus, as a run finds it."""

from pathlib import Path

from pipeline.corpus.sources.fields import Fields
from pipeline.corpus.sources.find import find_images
from pipeline.corpus.sources.found import Found
from pipeline.corpus.sources.source import Source


def found_in(root: Path | str, source: str = "auto", columns=None, labels=None) -> Found:
    """The images of a root; `columns` and `labels` as in a DAG file."""
    return find_images(Source(str(root), source, Fields(columns or {}, labels or {})))
