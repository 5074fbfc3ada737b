"""A corpus whose names and captions are HTML, scripts and controls: computed, and reported."""

import json

import pytest
import yaml

from tests.conftest import DEMO_MODELS, draw, make_dag

SCRIPT = "<script>alert(1)</script>.jpg"  # a file in a folder, and in no layout
NAMES = (
    '"><img src=x onerror=alert(2)>{}.jpg',
    "\u202egpj.exe{}.jpg",
    "\x1b[2J{}.jpg",
    "it's &amp;{}.jpg",
)
GENERATORS = ('"><img src=x onerror=alert(3)>', "$x^2$ <b>", "plain")
CAPTIONS = (
    "a red cup on <script>alert(4)</script> a table",
    'a dog "><img src=x onerror=alert(5)> and a cat',
    "\u202ea box\u202c beside \x1b[31m a ring",
    "a ball {{ 7 * 7 }} and a star",
)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, item):
    """The folder of `odd.yaml` and its store: three generators, nine reals and as many fakes each,
    and a file that fits no layout."""
    folder = tmp_path_factory.mktemp("pages")
    rows = []
    for g, generator in enumerate(GENERATORS):
        for label, kind in enumerate(("0_real", "1_fake")):
            for number in range(9):
                number += 100 * g + 50 * label
                name = NAMES[number % len(NAMES)].format(number)
                place = folder / "corpus" / "test" / generator / kind
                draw(place / name, number)
                path = str((place / name).relative_to(folder / "corpus"))
                rows.append({"path": path, "caption": CAPTIONS[number % len(CAPTIONS)]})
    draw(folder / "corpus" / "test" / "plain" / SCRIPT, 999)
    lines = "\n".join(map(json.dumps, rows))
    (folder / "captions.jsonl").write_text(lines, encoding="utf-8")
    write_dag(folder / "odd.yaml", folder)
    done = item("run", "odd.yaml", "--inline", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


def write_dag(path, folder):
    """The demo's nodes over that corpus, with its captions, and an experiment on every variant."""
    make_dag(path, folder / "corpus", part_size=40, models=DEMO_MODELS, name="odd")
    raw = yaml.safe_load(path.read_text())
    raw["corpus"] |= {"layout": "forensynths", "variants": {"all": ["jpeg_50"]}}
    given = {"file": str(folder / "captions.jsonl"), "key": "path"}
    raw["nodes"]["captions"] = {"stage": "provided", "images": "images", **given}
    raw["max_failed_share"] = 0.2
    raw["experiments"] = {
        "across": {
            "train": "generator = 'plain'",
            "test": "generator <> 'plain'",
            "test_by": ["generator", "variant"],
            "head": {"hidden": [8], "epochs": 2, "least_steps": 1},
            "bootstrap": 40,
        }
    }
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
