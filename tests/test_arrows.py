"""The house: each room imports only rooms before it, and no room is full."""

import ast
import re
from collections import Counter
from pathlib import Path

import pipeline

ROOT = Path(pipeline.__file__).parent
# from the ground up; rooms of one tuple do not know each other
ORDER = [
    ("errors", "tables", "shipped", "version", "pulse", "spec"),
    ("output", "plugins"),
    ("corpus",),
    ("models",),
    ("stages",),
    ("dag",),
    ("store",),
    ("query", "engine"),
    ("plan",),
    ("head",),
    ("audit",),
    ("pages",),
    ("predict",),
    ("setup",),
    ("cli",),
    ("__main__",),
]
IN_HEAD = [
    ("rows",),
    ("vectors",),
    ("methods",),
    ("figures",),
    ("result",),
    ("report",),
    ("run_folder",),
    ("run",),
    ("experiment_runs",),
    ("saved_runs",),
]
LEAVES = ORDER[0]
NOT_FOR_THE_HEAD = {"engine", "plan"}
FULL, FULL_ROOT, LONG = 14, 8, 400


def _modules():
    """(dotted name below `pipeline`, tree) of every module but those of the demo."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] != "demo" and parts != ("__init__",):  # the facade reaches everything, lazily
            yield parts, ast.parse(path.read_text())


def _imported(tree):
    """What a module imports of ours, as parts below `pipeline`, lazy and type-only ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipeline":
            room = node.module.split(".")[1:]
            for name in node.names:
                yield (*room, name.name)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "pipeline":
                    yield tuple(name.name.split(".")[1:])


def _ranks(order):
    return {name: rank for rank, names in enumerate(order) for name in names}


def _upward(order, arrows):
    ranks = _ranks(order)
    return [
        f"{'.'.join(source)} -> {'.'.join(target)}"
        for source, target, inside, outside in arrows
        if inside != outside and ranks[outside] >= ranks[inside]
    ]


def test_rooms_know_only_what_is_below_them():
    arrows = [
        (source, target, source[0], target[0])
        for source, tree in _modules()
        for target in _imported(tree)
    ]
    assert len(arrows) > 500
    arrows = [a for a in arrows if not (a[2] in LEAVES and a[3] in LEAVES)]
    assert _upward(ORDER, arrows) == []


def test_the_head_goes_from_rows_to_runs_and_knows_neither_engine_nor_plan():
    arrows = [
        (source, target)
        for source, tree in _modules()
        for target in _imported(tree)
        if source[0] == "head" and source != ("head", "__init__")
    ]
    assert [a for a in arrows if a[1][0] in NOT_FOR_THE_HEAD] == []
    within = [(s, t, s[1], t[1]) for s, t in arrows if t[0] == "head"]
    assert len(within) > 50
    assert _upward(IN_HEAD, within) == []


def test_only_the_engine_knows_dask():
    found = set()
    for source, tree in _modules():
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            # distributed.system says how much memory a container may take: nothing of a cluster
            if any(n.split(".")[0] in ("dask", "distributed") for n in names if "system" not in n):
                found.add(source[0])
    assert found == {"engine"}


def test_no_room_is_full_and_no_file_is_long():
    rooms = Counter(path.parent for path in ROOT.rglob("*.py"))
    demo = ROOT / "demo"
    crowded = {
        str(room.relative_to(ROOT)): count
        for room, count in rooms.items()
        if count > (FULL_ROOT if room == ROOT else FULL) and room != demo
    }
    assert crowded == {}
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > LONG
    }
    assert long == {}


def test_only_the_store_knows_the_names_of_what_lies_in_it():
    """But for the head's own files (`head.safetensors`, `head.json`), which may lie anywhere."""
    own = re.compile(r"part-|set-aside|\w\.parquet|_recipe|_answer|store\.json|experiment\.json")
    found = []
    for source, tree in _modules():
        if source[0] == "store":
            continue
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else ""
            if isinstance(text, str) and own.search(text) and id(node) not in docstrings:
                found.append((".".join(source), text))
            # a path is made from the root of a store
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                left = ast.unparse(node.left)
                if left.endswith(".root") and ("store" in left or "cache" in left):
                    found.append((".".join(source), ast.unparse(node)))
    assert found == []
