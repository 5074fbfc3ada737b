"""The product as its user sees it: a DAG file, the command, and the Parquet files of the store."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

MODELS = Path(__file__).resolve().parents[2] / "data" / "demo" / "models"


def write_dag(
    path: Path,
    corpus: Mapping[str, Any],
    nodes: Mapping[str, Mapping[str, Any]],
    max_failed_share: float = 0.0,
) -> Path:
    """A DAG file named after `path`, over `corpus` (root, layout, …), with these nodes."""
    dag = {
        "name": path.stem,
        "corpus": dict(corpus),
        "max_failed_share": max_failed_share,
        "nodes": {name: dict(node) for name, node in nodes.items()},
    }
    path.write_text(yaml.safe_dump(dag, sort_keys=False))
    return path


def item(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python -m pipeline …`, offline; answers with its exit status and what it printed."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"},
    )


def node_folder(store: Path, node: str) -> Path:
    """Where the store keeps a node, by the name in its recipe. SystemExit unless there is one."""
    found = [
        recipe.parent
        for recipe in store.glob("*/*/_recipe.json")
        if json.loads(recipe.read_text())["node"] == node
    ]
    if len(found) != 1:
        raise SystemExit(f"{store} holds {len(found)} nodes called {node}")
    return found[0]


def table(store: Path, node: str) -> pa.Table:
    """All rows of a node, part after part."""
    parts = sorted(node_folder(store, node).glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(part) for part in parts])


def captioner(model: Path, **options: Any) -> dict[str, Any]:
    """A caption node."""
    return {"stage": "caption", "images": "images", "model": str(model), **options}


def clip(model: Path, **options: Any) -> dict[str, Any]:
    """The `clip` parameter of a node."""
    return {"model": f"local-dir:{model}", **options}
