"""`item init`: a DAG file for a folder of images, complete and commented."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.corpus.layouts.auto import layout_of
from pipeline.corpus.layouts.registry import AUTO, REGEX, Reading, check_name
from pipeline.corpus.layouts.roots import check_root
from pipeline.corpus.layouts.survey import Survey, survey_files
from pipeline.corpus.sources.find import find_images
from pipeline.corpus.sources.source import Source
from pipeline.dag.file import NAME
from pipeline.engine import machine
from pipeline.errors import UserError
from pipeline.models import precision
from pipeline.models.weights import checkpoints, open_clip_tags
from pipeline.setup.dag_text import BUNDLED, EXPERIMENT, LARGE, SMALL, Models, dag_text

Wanted = Literal["auto", "bundled", "public"]
_LARGE_GPU = 15e9  # bytes of a GPU's memory in which BLIP-large, ViT-L-14 and OWLv2 go side by side
_FEWEST = 20  # images of each label, in training and in the test, below which nothing is learned
_PART, _LARGE_PART, _MANY = 256, 4096, 50_000  # images of a part: of few images, of many
_CUT = "c"  # of the first hex digit of an image_id: three quarters lie below


@dataclass(frozen=True)
class NewDag:
    """A DAG file to be: its text, and what was seen and chosen for it, in lines for a person."""

    name: str
    text: str
    survey: Survey
    models: Models
    experiment: str | None
    lines: list[str]


def new_dag(folder: str, name: str | None, layout: str, wanted: Wanted) -> NewDag:
    """Looks at a folder (or an fsspec URL), and chooses a layout, models and an experiment.

    `layout` auto is recognised. Raises UserError where there are no images, where a layout cannot
    be told, for a root at the wrong level, and for a name that no DAG has.
    """
    if name is not None and not re.fullmatch(NAME, name):
        hint = "give letters, digits, _ and -: no other sign, and no space"
        raise UserError(f"'{name}' is no name of a DAG", "--name", hint)
    root = folder if "://" in folder else str(Path(folder).expanduser().resolve())
    try:
        root.encode("utf-8")
    except UnicodeEncodeError:
        hint = "give a link to it that has such a name"
        raise UserError("the folder's name is no text that a file holds", root, hint) from None
    with _in_words_of_init():
        found = find_images(Source(root))
        if layout == AUTO:
            layout = layout_of(found, root)
    if layout == REGEX:
        hint = "take another one, and write `layout: regex` and its `pattern` into the file"
        raise UserError("the layout regex needs a pattern of your own", "--layout", hint)
    try:
        check_name(layout)
    except ValueError as error:
        raise UserError(str(error), "--layout") from None
    whole = survey_files(Reading(layout), found)
    with _in_words_of_init():
        warnings = [_of_init(line) for line in check_root(whole, root)]
    models, why = _models(wanted)
    key, experiment, trained = _experiment(whole)
    part_size = _PART if len(found.files) <= _MANY else _LARGE_PART
    name = name or _name(root)
    text = dag_text(name, root, layout, part_size, models, why, experiment)
    lines = [*whole.lines(), *warnings, f"models: {models.about} ({why})", f"experiment: {trained}"]
    return NewDag(name, text, whole, models, key, lines)


@contextmanager
def _in_words_of_init() -> Iterator[None]:
    """There is no DAG yet: what is to be changed is what the command was given."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, error.where, _of_init(error.hint or "")) from error


def _of_init(text: str) -> str:
    given = {
        "set `corpus.root` to": "give it",
        "`corpus.root`": "the path",
        "choose another `corpus.layout`": "choose another --layout",
        "write the `corpus.layout` that is meant": "say by --layout what is meant",
    }
    for word, mine in given.items():
        text = text.replace(word, mine)
    return text


def _models(wanted: Wanted) -> tuple[Models, str]:
    """The models, and why these."""
    if wanted == "bundled":
        return BUNDLED, "asked for"
    public, machine_is = _public()
    if wanted == "public":
        return _quick(public), f"asked for; of a size for {machine_is}"
    if _all_here(public):
        return _quick(public), f"they are on this machine, and of a size for it: {machine_is}"
    return BUNDLED, "always at hand; --models public takes public ones, of this machine's size"


def _quick(models: Models) -> Models:
    """In bf16 where this machine's processor has instructions for it: in a third of the time."""
    if models.precision:
        return models
    import torch

    used = precision.resolve("auto", torch.device("cpu"))
    return models if used == "fp32" else replace(models, precision=used)


def _public() -> tuple[Models, str]:
    """The public models for this machine, and what it is."""
    if not machine.gpus():
        return SMALL, f"{machine.cores()} cores without a GPU"
    import torch

    if not torch.cuda.is_available():
        return SMALL, f"{machine.cores()} cores, and a GPU that torch cannot use"
    memory = torch.cuda.get_device_properties(0).total_memory
    found = f"a GPU of {memory / 1e9:.0f} GB"
    return (LARGE if memory >= _LARGE_GPU else SMALL), found


def _all_here(models: Models) -> bool:
    """Whether all files of public models are in the Hugging Face cache."""
    names = [name for name in (models.captioner, models.detector) if name]
    if not all(map(_is_here, names)):
        return False
    source = open_clip_tags.source(models.clip, models.tag)
    if source.url is not None:
        return open_clip_tags.url_file(source.url).is_file()
    return source.repository is not None and _is_here(source.repository)


def _is_here(repository: str) -> bool:
    revision = checkpoints.cached_revision(repository)
    return bool(revision) and checkpoints.has_weights(checkpoints.snapshot(repository, revision))


def _experiment(whole: Survey) -> tuple[str | None, list[str], str]:
    """(its name, its lines in YAML, what it does in words); no name where there cannot be one.

    Trained and tested on the corpus's own splits, else on parts by a hash of the content: so that
    no image is on both sides, wherever its copies lie.
    """
    counts: Counter[tuple[str | None, int]] = Counter()
    generators: dict[int, set[str | None]] = {0: set(), 1: set()}
    for row in whole.rows():
        if row.label is not None:
            counts[row.split, row.label] += row.images
            generators[row.label].add(row.generator)
    total = {label: sum(n for (_, one), n in counts.items() if one == label) for label in (0, 1)}
    if not total[0] or not total[1]:
        lacking = "no labels" if not sum(total.values()) else "images of one label only"
        return None, [], f"none: the corpus has {lacking}"
    test = next((s for s in ("test", "val") if _enough(counts, s)), None)
    if test and _enough(counts, "train"):
        sides = ("split = 'train'", f"split = '{test}'")
        said = f"trained on the split train, tested on {test}"
    elif min(total.values()) >= 4 * _FEWEST:
        sides = (f"image_id < '{_CUT}'", f"image_id >= '{_CUT}'")
        said = "trained on three quarters, by a hash of the content, and tested on the others"
    else:
        few = f"{total[0]:,} real and {total[1]:,} fake images"
        enough = (
            f"it takes {4 * _FEWEST} of each, or {_FEWEST} in each of the splits train and test"
        )
        return None, [], f"none: {few} are too few to train and test on ({enough})"
    lines = [f'train: "{sides[0]}"', f'test: "{sides[1]}"']
    if not generators[1] <= generators[0]:  # fakes without reals of their own
        lines.append(f'reals: "label = 0 and {sides[1]}"  # of every generator: it has none itself')
    lines.append("allow_overlap: true  # of each generator other images are tested than trained on")
    return EXPERIMENT, lines, said


def _enough(counts: Counter[tuple[str | None, int]], split: str) -> bool:
    return min(counts[split, 0], counts[split, 1]) >= _FEWEST


def _name(root: str) -> str:
    """A DAG's name of a folder's."""
    last = root.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", last).strip("_") or "corpus"
