"""What archives of a corpus hold, kept beside its listing: so that only changed ones are read."""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from pipeline.dag.graph import Node
from pipeline.store import part_file
from pipeline.store.parts import ARCHIVE, Store


class ArchiveIndex:
    """The index of one listing; it only reads unless it may `keep` what is new."""

    def __init__(self, store: Store, listing: Node, keep: bool):
        self._folder, self._keep = store.folder(listing), keep

    def get(self, key: Mapping[str, object]) -> pa.Table | None:
        """What an archive held when it was last looked through; None where it was another one."""
        with suppress(part_file.Damaged):
            table, facts = part_file.read(self._path(key))
            if facts["key"] == json.dumps(key):
                return table.replace_schema_metadata({"counts": facts["counts"]})
        return None

    def put(self, key: Mapping[str, object], table: pa.Table) -> None:
        """Keeps what an archive holds; nothing where the store cannot be written."""
        if self._keep:
            counts = (table.schema.metadata or {})[b"counts"].decode()
            facts = {"key": json.dumps(key), "counts": counts}
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                kept = table.replace_schema_metadata(None)
                part_file.write(self._path(key), kept, facts, durable=False)

    def _path(self, key: Mapping[str, object]) -> Path:
        name = sha256(str(key["uri"]).encode()).hexdigest()[:16]
        return self._folder / f"{ARCHIVE}{name}.parquet"
