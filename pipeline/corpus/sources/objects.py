"""The objects of a file of JSON lines, packed or not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.corpus.sources.cells import opened


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line but empty ones; ValueError with the line that is none."""
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as problem:
                raise ValueError(f"line {number:,} is no JSON: {problem}") from problem
            if not isinstance(found, dict):
                raise ValueError(f"line {number:,} is no object")
            yield number, found
