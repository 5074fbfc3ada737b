"""Where a corpus comes from, as the DAG file says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from pipeline.corpus.sources.fields import Fields

AUTO, FOLDER, TAR, ZIP, PARQUET, MANIFEST = "auto", "folder", "tar", "zip", "parquet", "manifest"
KINDS = (AUTO, FOLDER, TAR, ZIP, PARQUET, MANIFEST)

# what the names of files end in that hold images, or name them
ENDS = {
    TAR: (".tar",),
    ZIP: (".zip",),
    PARQUET: (".parquet",),
    MANIFEST: (
        *(".csv", ".csv.gz", ".tsv", ".tsv.gz"),
        *(".jsonl", ".jsonl.gz", ".ndjson", ".json"),
    ),
}


@dataclass(frozen=True)
class Source:
    """`root`: a folder or a file, local or an fsspec URL; `kind`: one of KINDS."""

    root: str
    kind: str = AUTO
    fields: Fields = field(default_factory=Fields)


class Index(Protocol):
    """Keeps what an archive holds, by all that decides it."""

    def get(self, key: Mapping[str, object]) -> pa.Table | None:
        """What is kept, with its metadata."""

    def put(self, key: Mapping[str, object], table: pa.Table) -> None:
        """Keeps it."""


class NoIndex:
    """Keeps nothing: every archive is looked through."""

    def get(self, key: Mapping[str, object]) -> None:
        """Nothing."""

    def put(self, key: Mapping[str, object], table: pa.Table) -> None:
        """Forgets it."""
