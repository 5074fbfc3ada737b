"""An experiment of the DAG file: what to train on, what to test on, which features, which head.

    experiments:
      cross_generator:
        train: "generator = 'gan' and split = 'train'"
        validation: null
        test: "split = 'test'"
        test_by: generator
        features: [global, local]
        head: {hidden: [512], epochs: 20}
        allow_overlap: true

`train`, `validation` and `test` are SQL predicates over the listed files and their scalar features
(the columns of `pipeline.head.vectors.gather.COLUMNS`). They mean what they say: a split counts
only where it is written. An image on two sides is an error. Without `test`, every labelled image
that the others did not select is tested. Without `validation`, `validation_share` of the training
rows is set aside, of each label and generator alike (`pipeline.head.rows.selection.set_aside`):
nothing is trained on these, and whatever is chosen (epoch, threshold, temperature) is chosen on
them.

Validation images come from generators that training has. A generator with fakes in training and in
the test is an error unless `allow_overlap` is true; then the table marks it as seen, says so, and
leaves it out of the mean over the unseen.

`reals` is a predicate too: the real images that every test generator is measured against, instead
of those that `test` selects; or several, `reals: {glide: "generator = 'laion'"}`, for these
generators instead of their own. A generator without reals, or without fakes, is in no mean.

`variant` names the variant of the images that all rows are of: `variant: jpeg_90` trains and tests
on a corpus that was encoded uniformly. `test_by: generator` gives the table a row a generator;
`variant` tests the test images in each variant that they have, the clean ones included, and shows
the mean over unseen generators in each; `[generator, variant]` shows every generator in each.

Features are `global` and `local` misalignment (`representation`, `pooling`: what they are is in
`pipeline.head.vectors.represent`), the unit embeddings `image` and `text` (of the caption), and
`scalars`: cosine and distance, global and local, and the number of objects. The table has a head on
each alone and one on all side by side. An image without objects has zeros for `local` and its
scalars, and among these a 0 that says so.

What `features` and `baselines` leave open is what the DAG's nodes allow: one that embeds images and
no more trains on `image`, beside the baselines that read no caption. `compare_to` names the
methods, one or several, that the others' differences are from.

`probes: {DINOv2: dinov2}` adds the row `linear probe of DINOv2`: that baseline on the image
embeddings of another node. `foreign: {UnivFD: fc_weights.pth}` adds a row with a linear head that
others trained on CLIP's raw image embeddings (`pipeline.head.methods.foreign`).

Several values make several runs, one of each combination: `seed: [0, 1, 2]`, and in the head
`hidden: [[256], [512, 128]]` or `dropout: [0, 0.5]`; any other key in `sweep`, which these lists
are short for: `sweep: {features: [[global], [global, local]], head.dropout: [0, 0.5]}`. A `preset`
is one of the field's protocols, and stands for plain experiments: `pipeline.head.rows.presets`.
"""

from collections.abc import Collection
from datetime import date
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.corpus.variants import CLEAN, parse
from pipeline.dag.inputs import (
    BASELINES,
    MATRICES,
    OWN,
    Ways,
    embedding_of,
    in_words,
    read_by,
    way,
    ways_of,
)
from pipeline.errors import nearest
from pipeline.plugins import offered
from pipeline.spec import TypedPath

Predicate = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Variant = Annotated[str, AfterValidator(lambda name: name if parse(name) else CLEAN)]


def _known(kind: str, own: Collection[str], name: str) -> str:
    known = (*own, *offered.names(kind))
    if name not in known:
        raise ValueError(f"there is no {kind} '{name}': {nearest(name, known)}")
    return name


# of `item` itself, or of a plugin
Feature = Annotated[str, AfterValidator(partial(_known, "feature", OWN))]
Baseline = Annotated[str, AfterValidator(partial(_known, "baseline", BASELINES))]
Representation = Literal["unit_difference", "raw_difference", "hadamard", "concat", "cosine"]
Preset = Literal[
    *("progan_4", "progan_20", "sdv14_genimage", "leave_one_out", "train_x_test"),
    *("temporal", "cross_dataset", "figure4", "figure5", "ablation"),
]
Pooling = Literal["mean", "max_norm", "top_k", "attention"]
TestBy = Literal["generator", "variant"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadConfig(_Frozen):
    """The MLP and how it is trained: all our choice, since the paper's is not published."""

    hidden: tuple[PositiveInt, ...] = (512,)  # empty: a linear head
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    norm: Literal["layer"] | None = None  # of each hidden layer, before its activation
    dropout: float = Field(0.0, ge=0, lt=1)
    epochs: PositiveInt = 20
    least_steps: PositiveInt = 50  # of an epoch: few rows are gone over several times in one
    patience: PositiveInt | None = 5  # epochs without a better one; None: no early stop
    min_delta: NonNegativeFloat = 0.01  # validation APs that differ by less are told by their loss
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3  # the peak; it falls to zero along a cosine
    weight_decay: NonNegativeFloat | Literal["auto"] = "auto"  # AdamW's; auto: by validation
    class_weights: Literal["balanced"] | None = None  # balanced: reals and fakes weigh the same


class Experiment(_Frozen):
    """One table: heads trained on some images, tested on others, beside their baselines."""

    preset: Preset | None = None
    train: Predicate | None = None  # needed, but for a preset that brings its own
    validation: Predicate | None = None  # None: a share of the training rows
    validation_share: float = Field(0.2, gt=0, lt=1)
    test: Predicate | None = None  # None: whatever the other two did not select
    reals: Predicate | dict[str, Predicate] | None = None  # of test generators; None: their own
    released: dict[str, date] = Field(default_factory=dict)  # temporal: when, if not as listed
    until: tuple[date, ...] = ()  # trained on what was released by then; preset temporal
    allow_overlap: bool = False  # whether a generator may be trained and tested on
    partial: bool = False  # goes on without the selected images that are not computed yet
    variant: Variant = CLEAN  # in which the rows of all three are read
    test_by: tuple[TestBy, ...] = Field(("generator",), min_length=1)  # what a table's row is
    features: tuple[Feature, ...] = Field(("global", "local"), min_length=1)
    representation: Representation = "unit_difference"  # of global and local
    pooling: Pooling = "mean"  # of the objects, into local
    top_k: PositiveInt = 3  # objects that the pooling top_k takes
    phrase_template: str = Field("{}", pattern=r"^[^{}]*\{\}[^{}]*$")  # embed_texts', where needed
    head: HeadConfig = HeadConfig()
    seed: NonNegativeInt = 0
    neighbours: PositiveInt | Literal["auto"] = "auto"  # of k-NN; auto: chosen on validation
    neighbours_among: PositiveInt | None = 20_000  # training images, drawn by the seed; None: all
    sure_at: float = Field(0.95, ge=0.5, lt=1)  # the share of sure verdicts that is to be right
    bootstrap: NonNegativeInt = 1000  # resamples behind the intervals; 0: none, else at least 40
    baselines: tuple[Baseline, ...] = tuple(BASELINES)  # those that the DAG's tables allow
    compare_to: tuple[str, ...] = ("linear probe",)  # the methods that the differences are from
    probes: dict[str, str] = Field(default_factory=dict)  # row -> node of image embeddings
    foreign: dict[str, Annotated[str, TypedPath()]] = Field(
        default_factory=dict
    )  # row -> file of a linear head
    sweep: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _lists_in_place(cls, raw: Any) -> Any:
        """Moves lists at `seed` and in `head` to `sweep`, and the first of each to their place."""
        if not isinstance(raw, dict):
            return raw
        raw = {**raw, "sweep": raw.get("sweep", {})}
        places = {"seed": raw} if "seed" in raw else {}
        if isinstance(raw.get("head"), dict):
            raw["head"] = dict(raw["head"])
            places |= {f"head.{key}": raw["head"] for key in raw["head"]}
        for path, place in places.items():
            key = path.removeprefix("head.")
            value = place[key]
            several = isinstance(value, list) and value
            if key == "hidden":  # a list is one head; a list of lists is several
                several = several and all(isinstance(sizes, list | tuple) for sizes in value)
            if several and isinstance(raw["sweep"], dict):
                raw["sweep"] = {**raw["sweep"], path: tuple(value)}
                place[key] = value[0]
        if "compare_to" not in raw and "linear probe" not in raw.get("baselines", BASELINES):
            raw["compare_to"] = raw["baselines"][:1]
        return raw

    @model_validator(mode="after")
    def _trained_on_something(self) -> Self:
        if self.train is None and self.preset in (None, "figure4", "figure5", "ablation"):
            raise ValueError("`train` is missing: the predicate of the images to train on")
        if self.preset == "temporal" and not self.until:
            raise ValueError("`temporal` needs `until: date`")
        if self.preset != "temporal" and (self.released or self.until):
            raise ValueError("`released` and `until` are for `preset: temporal`")
        return self

    @field_validator("test_by", "compare_to", "until", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str | date) else given or ()

    @field_validator("foreign")
    @classmethod
    def _from_the_file(cls, foreign: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        """Paths are relative to the DAG file."""
        base = (info.context or {}).get("base", Path())
        if taken := set(foreign) & set(BASELINES):
            raise ValueError(f"{min(taken)} is a baseline's name")
        return {name: str(base / Path(path).expanduser()) for name, path in foreign.items()}

    @field_validator("bootstrap")
    @classmethod
    def _enough_for_an_interval(cls, resamples: int) -> int:
        """Of fewer than 40 resamples the ends of a 95 % interval are the least and the greatest."""
        if 0 < resamples < 40:
            raise ValueError("at least 40 resamples for an interval, or 0 for none")
        return resamples

    @field_validator("features", "test_by", "baselines", "compare_to")
    @classmethod
    def _once(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"names {twice[0]} twice")
        return names

    @model_validator(mode="after")
    def _neighbours_among_enough(self) -> Self:
        few = self.neighbours_among is not None and self.neighbours != "auto"
        if few and self.neighbours_among < self.neighbours:
            raise ValueError("neighbours_among is smaller than neighbours")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        twice = set(self.foreign) & {*self.heads, *self.probed}
        if twice:
            raise ValueError(f"two methods are called {min(twice)}: rename it in `foreign`")
        for name in self.compare_to:
            if name not in self.methods:
                hint = nearest(name, self.methods)
                raise ValueError(f"compare_to names no method of the table, '{name}': {hint}")
        return self

    @model_validator(mode="after")
    def _each_run_is_sound(self) -> Self:
        for path, values in self.sweep.items():
            known = {*Experiment.model_fields} - {"sweep", "head", "preset"}
            known |= {f"head.{key}" for key in HeadConfig.model_fields}
            if path not in known:
                raise ValueError(f"sweep.{path}: there is no such key: {nearest(path, known)}")
            for value in values:
                try:
                    self._with({path: value})
                except ValidationError as error:
                    problem = error.errors()[0]["msg"]
                    raise ValueError(f"sweep.{path}: {problem} (got {value!r})") from None
        return self

    def _with(self, values: dict[str, Any]) -> "Experiment":
        """This experiment without its sweep, with some values changed."""
        raw = self.model_dump(exclude={"sweep"})
        for path, value in values.items():
            section, _, key = path.rpartition(".")
            (raw[section] if section else raw)[key] = value
        return Experiment.model_validate(raw)

    def expand(self) -> list["Experiment"]:
        """One experiment for each combination of the sweep's values, the seeds in a row."""
        seeds_last = sorted(self.sweep, key=lambda path: path == "seed")
        combinations = product(*(self.sweep[path] for path in seeds_last))
        return [self._with(dict(zip(seeds_last, values, strict=True))) for values in combinations]

    @property
    def configuration(self) -> dict[str, Any]:
        """What is not at its default, without the seed: what runs over seeds have in common."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"seed", "sweep"})

    @property
    def reads_variants(self) -> bool:
        """Whether it reads any images but the clean ones."""
        return self.variant != CLEAN or "variant" in self.test_by or self.preset == "figure4"

    def predicates(self, side: str) -> list[str]:
        """Those that are written for `train`, `validation`, `test` or `reals`."""
        written = getattr(self, side)
        return list(written.values()) if isinstance(written, dict) else [written] * bool(written)

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """Method -> features of each head: every feature alone, and at last all of them."""
        alone = [(feature,) for feature in self.features]
        return {"+".join(features): features for features in [*alone, self.features]}

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """Method -> the matrices that it reads side by side, in the table's order."""
        baselines = {name: read_by(name) or self.features for name in self.baselines}
        probes = {method: (embedding_of(node),) for method, node in self.probed.items()}
        foreign = dict.fromkeys(self.foreign, ("raw_image",))
        return {**self.heads, **baselines, **probes, **foreign}

    @property
    def probed(self) -> dict[str, str]:
        """Method -> the node whose image embeddings it is a linear probe of."""
        return {f"linear probe of {name}": node for name, node in self.probes.items()}

    @property
    def methods(self) -> tuple[str, ...]:
        """The names in the table, in its order."""
        return tuple(self.reads)

    def ways(self, matrix: str) -> Ways:
        """The tables that a matrix can be made from: the node `features` makes one kind of D."""
        ours = (self.representation, self.pooling) == ("unit_difference", "mean")
        ways = ways_of(matrix)
        if ours or matrix not in ("global", "local"):
            return ways
        return tuple(one for one in ways if one != {"features"})

    def tables(self, made: Collection[str]) -> set[str]:
        """The tables that its methods read, of those that are made, and the nodes it probes."""
        read = {matrix: way(self.ways(matrix), made) for matrix in chain(*self.reads.values())}
        return {"images"}.union(*(one or self.ways(name)[0] for name, one in read.items()))

    def on(
        self,
        made: Collection[str],
        embedded: Collection[str] = (),
        plugged: Collection[str] = (),
    ) -> "Experiment":
        """This experiment in a DAG whose nodes make these tables; `embedded`: image embeddings.

        What it leaves open becomes what they allow: of the features `global` and `local`, or else
        `image`, or else `text`; of all baselines, the DAG's own plugins' (`plugged`) among them;
        and the one that is compared to. ValueError for what it names and they do not allow.
        """
        for node in self.probes.values():
            if node not in embedded:
                hint = nearest(node, embedded) if embedded else "no node does"
                raise ValueError(f"'{node}' is no node that makes image_embeddings: {hint}")
        able = {matrix for matrix, ways in MATRICES.items() if way(ways, made) is not None}
        able |= {embedding_of(node) for node in embedded}
        given, changes = self.model_fields_set, {}
        features = self.features
        if "features" not in given:
            two = [feature for feature in features if feature in able]
            one = [feature for feature in ("image", "text") if feature in able][:1]
            changes["features"] = features = tuple(two or one) or features
        able |= {name for name in offered.names("feature") if way(ways_of(name), made) is not None}
        if "baselines" not in given:
            known = [*BASELINES, *plugged]
            names = [name for name in known if able.issuperset(read_by(name))]
            if features in BASELINES.values():  # a linear head on these is a baseline already
                names.remove("linear head")
            changes["baselines"] = tuple(names)
            if "compare_to" not in given and "linear probe" not in names:
                changes["compare_to"] = tuple(names[:1])
        bound = Experiment.model_validate({**self.model_dump(), **changes})
        several = [features, *self.sweep.get("features", ())]
        several += [("global", "local")] if self.preset == "figure5" else []
        for read in (bound._with({"features": some}).reads for some in several):
            for method, matrices in read.items():
                if lacking := [matrix for matrix in matrices if matrix not in able]:
                    need = in_words(ways_of(lacking[0]))
                    raise ValueError(f"{method} needs tables that no node makes: {need}")
        return bound
