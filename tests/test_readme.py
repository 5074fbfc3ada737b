"""Every block of the READMEs runs, and prints what is shown.

Where the clone has the whole demo in `store/`, as after the README's first command, figures are
compared as well. Elsewhere the same commands run on fewer of the demo's images, and only what has
no figure is compared.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import shipped
from pipeline.dag.experiment import Experiment, HeadConfig
from pipeline.dag.file import Corpus, DagFile
from pipeline.dag.graph import read
from pipeline.errors import UserError
from pipeline.plugins import offered
from pipeline.query.questions import named_queries
from pipeline.shipped import folder
from tests.helpers.demo import ROOT, whole
from tests.helpers.readme import (
    Block,
    blocks,
    check_words,
    commands,
    differences,
    inline_commands,
)

README = ROOT / "README.md"
RUN = [README, *(ROOT / room / "README.md" for room in ("dags", "sql", "pipeline"))]
BLOCKS = [block for path in RUN for block in blocks(path)]
FEW = 4  # images of each folder of the demo's corpus, where the store is not there
_FOR_VIEWS = ("content_labels", "cosine_steps", "t_area", "without_paths")  # what others use


@dataclass
class Place:
    """A clone after its first command. `names`: what Python blocks have defined, by file."""

    folder: Path
    exact: bool
    environment: dict[str, str]
    names: dict[Path, dict[str, Any]] = field(default_factory=dict)


def clone(place: Path, few: bool) -> Path:
    """A folder that looks like the repository, with `few` images or all."""
    for name in ("pipeline", "sql", "README.md"):
        (place / name).symlink_to(ROOT / name)
    if not few:
        for name in ("dags", "data"):
            (place / name).symlink_to(ROOT / name)
        return place
    demo = place / "data" / "demo"
    demo.mkdir(parents=True)
    for name in ("models", "scenes.parquet"):
        (demo / name).symlink_to(ROOT / "data" / "demo" / name)
    corpus = ROOT / "data" / "demo" / "corpus"
    for label in sorted(corpus.glob("*/*/*")):
        there = demo / "corpus" / label.relative_to(corpus)
        there.mkdir(parents=True)
        for image in sorted(label.iterdir())[:FEW]:
            shutil.copy2(image, there)
    shutil.copytree(ROOT / "dags", place / "dags")
    dag = place / "dags" / "demo.yaml"
    quick = dag.read_text().replace("epochs: 20}", "epochs: 2, least_steps: 1}\n    bootstrap: 40")
    dag.write_text(quick)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, item: Callable) -> Iterator[Place]:
    """The clone, its store, and `item` and `python` for a shell."""
    exact = whole(ROOT / "store")
    here = clone(tmp_path_factory.mktemp("clone"), few=not exact)
    for label in ("0_real", "1_fake"):  # somebody's own images
        for split in ("train", "test"):
            at = here / "photos" / split / "sdv14" / label
            at.mkdir(parents=True)
            from_ = here / "data" / "demo" / "corpus" / split / "gan" / label
            for image in sorted(from_.iterdir())[:FEW]:
                shutil.copy2(image, at)
    bin_ = tmp_path_factory.mktemp("bin")
    (bin_ / "item").write_text(
        f"#!{sys.executable}\nfrom pathlib import Path\n"
        f"from pipeline import shipped\nshipped._PACKAGE = Path({str(here / 'pipeline')!r})\n"
        "from pipeline.cli.app import main\nmain()\n"
    )
    (bin_ / "item").chmod(0o755)
    (bin_ / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin_ / "python").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "_PACKAGE", here / "pipeline")
        if exact:
            shutil.copytree(ROOT / "store", here / "store")
        else:
            done = item("run", "demo", "--inline", cwd=here)
            assert done.returncode == 0, done.stderr + done.stdout
        yield Place(here, exact, environment)


def ran(place: Place, item: Callable, text: str) -> str:
    """What a command prints, on both streams; it must succeed."""
    words = shlex.split(text, comments=True)
    if words[0] == "item" and not {"|", "&&", ">", "<", ";"} & set(words):
        done = item(*words[1:], cwd=place.folder)
    else:
        shell = ["bash", "-euo", "pipefail", "-c", text]
        options = {"env": place.environment, "capture_output": True, "text": True}
        done = subprocess.run(shell, cwd=place.folder, **options)
    assert done.returncode == 0, f"{text}\n{done.stderr}{done.stdout}"
    return f"{done.stdout}\n{done.stderr}"


def held(block: Block, shown: str | None, printed: str, exact: bool) -> None:
    lost = list(differences(shown or "", printed, exact))
    assert not lost, f"{block} shows, but is not printed:\n" + "\n".join([*lost, "", printed])


def run_shell(place: Place, item: Callable, block: Block) -> None:
    printed = ""
    for command in commands(block):
        printed = ran(place, item, command.text)
        held(block, command.output, printed, place.exact)
    held(block, block.output, printed, place.exact)


def run_python(place: Place, item: Callable, block: Block) -> None:
    first = block.text.split(maxsplit=3)
    if first[0] == "#" and first[1].endswith(".py"):  # a file, which later blocks run
        (place.folder / first[1]).write_text(block.text)
        return
    names = place.names.setdefault(block.path, {"__name__": "__main__"})
    out = io.StringIO()
    with chdir(place.folder), redirect_stdout(out):
        exec(compile(block.text, str(block), "exec"), names)
    held(block, block.output, out.getvalue(), place.exact)


def run_sql(place: Place, item: Callable, block: Block) -> None:
    file = place.folder / "block.sql"
    file.write_text(block.text)
    printed = ran(place, item, f"item query demo -f {file.name}")
    held(block, block.output, printed, place.exact)


def run_yaml(place: Place, item: Callable, block: Block) -> None:
    """A DAG file, kept by the name in its first line; or some of its keys, put into the demo's."""
    first = block.text.split(maxsplit=3)
    raw = yaml.safe_load(block.text)
    name = first[1] if first[0] == "#" and first[1].endswith(".yaml") else "block.yaml"
    if not raw.get("nodes") or len(raw["nodes"]) < 4:
        raw = merged(yaml.safe_load((place.folder / "dags" / "demo.yaml").read_text()), raw)
        text = yaml.safe_dump(raw, sort_keys=False).replace("../data/", "./data/")
    else:
        text = block.text
    (place.folder / name).write_text(text)
    with chdir(place.folder):
        read(f"./{name}")
    if name == "block.yaml":
        (place.folder / name).unlink()


def run_toml(place: Place, item: Callable, block: Block) -> None:
    """Entry points: the kinds are those that there are."""
    groups = tomllib.loads(block.text)["project"]["entry-points"]
    kinds = {f"item.{kind}" for kind in offered.KINDS}
    assert set(groups) <= kinds == {*re.findall(r"item\.\w+", block.text)}


def merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    keys = {**below, **above}
    return {
        key: merged(below[key], above[key]) if key in below and key in above else keys[key]
        for key in keys
    }


RUNNERS = {
    "bash": run_shell,
    "console": run_shell,
    "python": run_python,
    "sql": run_sql,
    "toml": run_toml,
    "yaml": run_yaml,
}


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language in RUNNERS], ids=str)
def test_a_block_runs_and_prints_what_is_shown(place, item, block):
    if block.why is None:
        RUNNERS[block.language](place, item, block)
        return
    if block.language == "python":
        compile(block.text, str(block), "exec")
        return
    for command in commands(block):
        checked(command.words)


def checked(words: list[str] | None) -> None:
    """Options and commands are there, and so is every key of a shipped DAG that is set."""
    if not words:
        return
    check_words(words)
    settings = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--set"]
    named = [word for word in words[1:3] if (folder("dags") / f"{word}.yaml").is_file()]
    if settings and named and not any("…" in setting for setting in settings):
        read(named[0], settings)


@pytest.mark.parametrize("path", RUN, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_running_text_are_there(path, place):
    with chdir(place.folder):
        for text in inline_commands(path):
            checked(shlex.split(text.replace("\\|", "|"))[1:])


def test_the_named_queries_and_macros_are_all_in_the_page():
    text = (ROOT / "sql" / "README.md").read_text()
    listed = text[text.index("*Misalignment*") : text.index("## SQL of your own")]
    assert set(re.findall(r"`(\w+)`", listed)) == set(named_queries())
    for macro in (folder("sql") / "macros").glob("*.sql"):
        assert macro.stem in text or macro.stem in _FOR_VIEWS, macro.stem


def test_every_key_of_a_dag_file_is_in_its_page_with_its_default():
    (block,) = (one for one in BLOCKS if one.text.startswith("name: my "))
    raw = yaml.safe_load(block.text)
    experiment = raw["experiments"].pop("NAME")
    head = experiment["head"]
    for keys, model in ((raw, DagFile), (raw["corpus"], Corpus), (head, HeadConfig)):
        assert set(model.model_fields) == set(keys), model.__name__
    assert set(experiment) == set(Experiment.model_fields)
    shown, bare = (Corpus(**keys) for keys in (raw["corpus"], {"root": raw["corpus"]["root"]}))
    assert shown == bare
    assert Experiment(**experiment) == Experiment(train=experiment["train"])


def test_every_language_is_one_that_is_run():
    others = {str(block) for block in BLOCKS if block.language not in RUNNERS}
    assert others <= {str(block) for block in BLOCKS if block.language == "mermaid"}


def test_ci_runs_the_two_commands_as_they_are_printed():
    ci = ROOT / ".ci" / "run"
    two = [one.text.strip() for one in BLOCKS if one.path == README and "pip install ." in one.text]
    two += [one.text.strip() for one in BLOCKS if one.path == README and "[test]" in one.text]
    lines = ci.read_text().splitlines()
    assert len(two) == 2 and all(line in lines for line in two)


@pytest.mark.parametrize(
    "wrong",
    [
        "run demo --quick",
        "runn demo",
        "models fetch demo --all",
        "plan demo --set captions.beams=1",
    ],
)
def test_a_command_that_is_not_there_is_seen(wrong):
    with pytest.raises((ValueError, UserError)):
        checked(wrong.split())


def test_a_figure_that_is_not_printed_is_seen():
    shown = "name      n  cosine\n----  -----  ------\nball  1,711  0.7196\n…\n(6 rows)"
    printed = "name       n  cosine\nstar   3,539  0.6306\nball   1,711  0.7199\n(6 rows)"
    assert list(differences(shown, printed, exact=True)) == []
    assert list(differences(shown, printed.replace("1,711", "1,811"), exact=True)) == [
        "ball  1,711  0.7196"
    ]
    assert list(differences(shown, printed.replace("1,711", "1,811"), exact=False)) == []
    assert list(differences(shown, "other  n  cosine", exact=False)) == ["name      n  cosine"]
