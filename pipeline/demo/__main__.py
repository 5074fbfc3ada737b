"""Rebuilds everything under `data/demo`: models, generators and corpus, from nothing but seeds.

    python -m pipeline.demo build --work DIR --out data/demo --treebank DIR [--seed 0] [--only STEP]

A step that is finished (its artefact is there and `work`/times.json names it with this seed) is
not done again; `--force` does it again. `--only` does one step and what it needs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from pipeline.errors import UserError


@dataclass(frozen=True)
class Step:
    """One step of the build: it is done when `artefact` exists; it `needs` other steps first."""

    run: Callable[[], object]
    artefact: Path
    needs: tuple[str, ...] = ()


def _models(work: Path, out: Path, treebank: Path | None, seed: int) -> dict[str, Step]:
    """The three bundled models; their modules are imported when they are trained."""

    def trunk() -> None:
        from pipeline.demo import trunk

        trunk.train(work, seed)

    def clip() -> None:
        from pipeline.demo import train_clip

        train_clip.train(work, out / "models" / "clip", seed)

    def captioner() -> None:
        from pipeline.demo import train_captioner

        train_captioner.train(work, out / "models" / "captioner", seed)

    def parser() -> None:
        """Needs the treebank, the one input that is not made here."""
        from pipeline.demo import train_parser

        if treebank is None:
            raise UserError(
                "the parser is trained on a treebank, and none was given",
                hint="add --treebank DIR, a folder with train.conllu, dev.conllu and test.conllu "
                "of UD English EWT, or leave the parser out with --only",
            )
        train_parser.train(treebank, out / "models" / "parser", seed)

    models = out / "models"
    return {
        "trunk": Step(trunk, work / "trunk.safetensors"),
        "clip": Step(clip, models / "clip", ("trunk",)),
        "captioner": Step(captioner, models / "captioner", ("clip",)),
        "parser": Step(parser, models / "parser"),
    }


def _fakes(work: Path, out: Path, seed: int) -> dict[str, Step]:
    """The generators, their samples and the corpus."""
    from pipeline.demo import corpus, generators

    steps = {"scenes": Step(partial(generators.render_scenes, work), work / "scenes.npz")}
    families = tuple(generators.FAMILIES)
    for family in families:
        steps[family] = Step(
            partial(generators.train_family, work, family, seed),
            work / family / "record.json",
            ("scenes",),
        )
    for family in families:
        steps[f"{family}_samples"] = Step(
            partial(generators.sample_family, work, family, seed),
            work / family / "samples.npz",
            (family,),
        )
    steps["corpus"] = Step(
        partial(corpus.build, work, out),
        out / "scenes.parquet",
        tuple(f"{family}_samples" for family in families),
    )
    return steps


def order(steps: dict[str, Step], only: str | None) -> list[str]:
    """Names of the steps to look at, needs first: all of them, or `only` and what it needs."""
    found: list[str] = []

    def visit(name: str) -> None:
        for need in steps[name].needs:
            visit(need)
        if name not in found:
            found.append(name)

    for name in [only] if only else steps:
        visit(name)
    return found


def run(steps: dict[str, Step], work: Path, seed: int, only: str | None, force: bool) -> None:
    """Does the unfinished steps in order; after each one writes `work`/times.json."""
    work.mkdir(parents=True, exist_ok=True)
    book = work / "times.json"
    times = json.loads(book.read_text()) if book.exists() else {}
    for name in order(steps, only):
        artefact, wanted = steps[name].artefact, force and name == (only or name)
        if not wanted and artefact.exists() and times.get(name, {}).get("seed") == seed:
            print(f"{name}: finished before ({times[name]['seconds']:.0f} s)", flush=True)
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        print(f"{name}: starts", flush=True)
        steps[name].run()
        times[name] = {
            "seed": seed,
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        book.write_text(json.dumps(times, indent=2) + "\n")
        print(f"{name}: {times[name]['seconds']:.0f} s", flush=True)
    total = sum(times[name]["seconds"] for name in order(steps, only))
    print(f"all: {total / 60:.1f} minutes, by step in {book}")


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 when everything is built, 2 after a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    build = parser.add_subparsers(required=True).add_parser("build", help="rebuild data/demo")
    build.add_argument("--work", type=Path, required=True, help="folder for what lies between")
    build.add_argument("--out", type=Path, default=Path("data/demo"))
    build.add_argument("--treebank", type=Path, help="folder of UD English EWT (.conllu)")
    build.add_argument("--seed", type=int, default=0)
    build.add_argument("--threads", type=int, default=1, help="of the models' trainings")
    build.add_argument("--only", metavar="STEP", help="one step, and what it needs")
    build.add_argument("--force", action="store_true", help="do finished steps again")
    given = parser.parse_args(arguments)
    steps = _models(given.work, given.out, given.treebank, given.seed)
    torch.set_num_threads(given.threads)
    steps |= _fakes(given.work, given.out, given.seed)
    try:
        if given.only and given.only not in steps:
            raise UserError(f"unknown step '{given.only}'", hint=f"known: {', '.join(steps)}")
        run(steps, given.work, given.seed, given.only, given.force)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
