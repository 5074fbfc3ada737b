"""Whatever happens to a corpus and its store: after the next run it is as if it was the first.

Sequences of adding, deleting, moving, relabelling, corrupting, mending, sampling, another layout,
unreadable files, killed runs and lost parts; with stages that need no model.
"""

import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.corpus.sources.read import Reader
from pipeline.dag.graph import load
from pipeline.engine import pace
from pipeline.engine.progress import Reporter
from pipeline.engine.run import Options, run
from pipeline.query import open_store
from pipeline.store.parts import Store
from pipeline.store.upkeep.retry import forget
from tests.conftest import draw, make_dag
from tests.helpers.cheap_stages import Cheap, rows_of

ACTIONS = (
    *("add", "copy", "delete", "move", "relabel", "corrupt", "mend", "limit", "layout", "dataset"),
    *("unreadable", "kill", "lose part", "lose listing", "retry", "run"),
)
HISTORIES = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 99)), max_size=9)


class Killed(BaseException):
    """As Ctrl-C: nothing of ours may catch it."""


class World:
    """A corpus, a store, and what happens to them."""

    def __init__(self, folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.store = folder / "corpus", Store(folder / "store")
        self.path = make_dag(folder / "dag.yaml", self.root, 3, models, "history")
        self.cheap, self.settings = Cheap(self.begin), {}
        self.until, self.excuses, self.unreadable = None, 0, set()
        self.good: dict[Path, bytes] = {}
        for number in range(5):
            self.add(number)
        read = Reader.read
        monkeypatch.setattr(
            Reader, "read", lambda reader, uri: self.read(uri, lambda uri: read(reader, uri))
        )
        monkeypatch.setattr(pace, "COMMIT", 0.0)
        monkeypatch.setattr(pace, "_FIRST", 2)

    def read(self, uri, read):
        if Path(uri).name in self.unreadable:
            raise PermissionError(13, "Permission denied", uri)
        return read(uri)

    def begin(self, node):
        if self.until is not None:
            self.until -= 1
            if self.until < 0:
                raise Killed

    @property
    def dag(self):
        overrides = [f"corpus.{key}={value}" for key, value in self.settings.items()]
        return self.cheap.dag(load(str(self.path), overrides))

    def run(self, store=None):
        reporter = Reporter(Console(quiet=True))
        dag = self.dag
        return run(dag, store or self.store, list(dag.nodes.values()), Options(True), reporter)

    def files(self):
        return sorted(path for path in self.root.rglob("*.jpg"))

    def add(self, number):
        folder = ("gan", "flow")[number % 2], ("0_real", "1_fake")[number // 2 % 2]
        path = self.root.joinpath("test", *folder, f"{number}.jpg")
        if not path.exists():
            draw(path, number, 16)

    def act(self, action, number):
        files = self.files()
        one = files[number % len(files)] if files else None
        if action == "add":
            self.add(number)
        elif action == "limit":
            self.settings = {"limit": 1 + number % 6} if number % 3 else {}
        elif action == "layout":
            self.settings = {} if "layout" in self.settings else {"layout": "unlabelled"}
        elif action == "dataset":
            self.settings = {"dataset": f"d{number % 3}"}
        elif action == "unreadable":
            self.unreadable = {one.name} if one and number % 2 else set()
        elif action == "retry":
            with suppress(Exception):
                forget(self.dag, self.store, list(self.dag.nodes.values()), "%")
        elif action in ("kill", "run"):
            self.until = number % 25 if action == "kill" else None
            self.excuses += action == "kill"
            with suppress(Killed):
                self.run()
            self.until = None
        elif action.startswith("lose"):
            stage = "listing" if "listing" in action else "*"
            if parts := sorted(self.store.root.glob(f"{stage}/*/part-*")):
                parts[number % len(parts)].unlink()
                self.excuses += 1
        elif one is not None:
            self.change(action, one, number)

    def change(self, action, one, number):
        if action == "delete" and len(self.files()) > 2:
            one.unlink()
        elif action == "copy":
            one.with_name(f"copy{number}.jpg").write_bytes(one.read_bytes())
        elif action == "move":
            one.rename(one.with_name(f"moved{number}.jpg"))
        elif action == "relabel":
            other = "1_fake" if one.parent.name == "0_real" else "0_real"
            target = one.parent.with_name(other) / one.name
            target.parent.mkdir(exist_ok=True)
            one.rename(target)
        elif action == "corrupt" and len(one.read_bytes()) > 300:
            self.good[one] = one.read_bytes()
            one.write_bytes(self.good[one][:-200])
        elif action == "mend":
            for path, data in self.good.items():
                if path.exists():
                    path.write_bytes(data)


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,  # the same everywhere, every time
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(history=HISTORIES)
def test_after_any_history_the_tables_are_those_of_a_fresh_store(history, tmp_path_factory):
    random.seed(0)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("history")
        models = folder / "models"
        for name in ("clip", "captioner", "parser"):
            (models / name).mkdir(parents=True)
            (models / name / "weights.txt").write_text(name)
        (models / "parser" / "meta.json").write_text('{"lang": "en", "name": "x", "version": "1"}')
        world = World(folder, models, patch)
        world.run()
        for action, number in history:
            world.act(action, number)
        world.unreadable = set()  # whatever it was, it has passed
        totals = world.run()
        assert max(world.cheap.captioned.values(), default=0) <= 1 + world.excuses
        fresh = Store(folder / "fresh")
        expected = world.run(fresh)
        dag = world.dag
        with open_store.connect(dag, world.store) as one, open_store.connect(dag, fresh) as two:
            for node in dag.nodes:
                assert rows_of(one, node) == rows_of(two, node), node
        counts = [(t.node, t.rows_in, t.rows_ok, t.rows_failed) for t in totals]
        assert counts[:3] == [(t.node, t.rows_in, t.rows_ok, t.rows_failed) for t in expected][:3]
        captioned = world.cheap.captioned.copy()
        world.run()  # and another run does nothing but what failed for now
        assert world.cheap.captioned == captioned
        shutil.rmtree(folder)
