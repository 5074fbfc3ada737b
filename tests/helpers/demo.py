"""The bundled demo, computed: as the README's first command left it in a clone, or a part of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.dag.graph import load
from pipeline.errors import UserError
from pipeline.shipped import folder
from pipeline.store.parts import Store
from pipeline.store.totals import totals

ROOT = folder("dags").parent
IMAGES = 96  # of the demo, where a part of it is enough
LIMITED = ("--limit", str(IMAGES))
# of the demo's experiments: what they print, in a tenth of the time
QUICK = [
    word
    for name in ("cross_generator", "each_generator", "figure5")
    for key in ("head.epochs=2", "head.least_steps=1", "bootstrap=40")
    for word in ("--set", f"experiments.{name}.{key}")
]


def whole(store: Path) -> bool:
    """Whether the demo is computed in full, its runs with it."""
    dag = load("demo")
    if not store.is_dir():
        return False
    try:
        found = totals(dag, Store(store), list(dag.nodes.values()))
    except UserError:
        return False
    images = sum(1 for _ in (folder("data") / "demo" / "corpus").rglob("*.jpg"))
    done = {one.node: one.rows_ok for one in found}
    runs = Store(store).runs()
    return done.get("features") == images and len(runs) >= 8


def report(place: Path, item: Callable[..., Any], part: Path) -> Path:
    """The demo's report: of `part`, or of all, made in `place`, where the clone has that."""
    if not whole(ROOT / "store"):
        return part / "store" / "reports" / "demo.html"
    shutil.copytree(ROOT / "store", place / "store")
    done = item("report", "demo", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "store" / "reports" / "demo.html"
