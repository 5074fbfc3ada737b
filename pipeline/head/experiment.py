"""An experiment of the DAG file: what to train on, what to test on, which features, which head.

    experiments:
      cross_generator:
        train: "generator = 'gan' and split = 'train'"
        test: "split = 'test'"
        test_by: generator
        features: [global, local]
        head: {hidden: [512], epochs: 20}
        neighbours: 9
        bootstrap: 1000
        compare_to: linear probe

`train` and `test` are SQL predicates over the listed files and their scalar features (the columns
of `pipeline.head.data.COLUMNS`). They mean what they say: a split counts only where it is written.
Without `test`, every labelled image that training did not select is tested. An image in both is an
error. `test_by` gives the table a row a generator; one whose fakes were trained on is marked as
seen, and stays out of the mean over the unseen. The baselines are always in the table.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
    model_validator,
)

from pipeline.errors import nearest

Predicate = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Feature = Literal["global", "local"]

# what a head has to beat, in the table's order (`pipeline.head.baselines` says what each is)
BASELINES = ("linear probe", "k-NN", "concat MLP", "caption text", "metadata", "cosine")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadConfig(_Frozen):
    """The MLP and how it is trained: all our choice, since the paper's is not published."""

    hidden: tuple[PositiveInt, ...] = (512,)  # empty: a linear head
    dropout: float = Field(0.0, ge=0, lt=1)
    epochs: PositiveInt = 20
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3  # the peak; it falls to zero along a cosine
    weight_decay: NonNegativeFloat = 1e-2


class Experiment(_Frozen):
    """One table: heads trained on some images, tested on others, beside their baselines."""

    train: Predicate
    test: Predicate | None = None
    test_by: Literal["generator"] = "generator"
    features: tuple[Feature, ...] = Field(("global", "local"), min_length=1)
    head: HeadConfig = HeadConfig()
    seed: NonNegativeInt = 0
    neighbours: PositiveInt = 9  # of the baseline k-NN
    bootstrap: NonNegativeInt = 1000  # resamples behind the intervals; 0: no intervals
    compare_to: str | None = "linear probe"  # the method that the differences are from

    @field_validator("features")
    @classmethod
    def _once(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(features)) < len(features):
            raise ValueError("names a feature twice")
        return features

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.compare_to is not None and self.compare_to not in self.methods:
            hint = nearest(self.compare_to, self.methods)
            raise ValueError(f"compare_to names no method of the table: {hint}")
        return self

    @property
    def heads(self) -> dict[str, tuple[Feature, ...]]:
        """Method -> features of each head: every feature alone, and at last all of them."""
        alone = [(feature,) for feature in self.features]
        return {"+".join(features): features for features in [*alone, self.features]}

    @property
    def methods(self) -> tuple[str, ...]:
        """The names in the table, in its order."""
        return (*self.heads, *BASELINES)
