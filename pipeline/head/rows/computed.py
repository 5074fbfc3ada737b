"""Whether an image has what an experiment's methods read, in SQL: it failed, or is not made yet."""

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.dag.experiment import Experiment

# tables of a row an image that methods read; what fails before `features` has failed there as well
COMPUTED = ("features", "image_embeddings", "captions")


@dataclass(frozen=True)
class Computed:
    """The views `tables` that an image's rows are looked for in; `texts`: its caption's too."""

    tables: tuple[str, ...]
    texts: bool

    @classmethod
    def of(cls, experiment: Experiment, made: Collection[str]) -> "Computed":
        """What an experiment reads, of the tables that the DAG's nodes make."""
        read = experiment.tables(made)
        whole = "features" in read
        tables = tuple(name for name in COMPUTED if name in read)
        return cls(
            tuple(name for name in tables if name != "captions" or not whole),
            "text_embeddings" in read and "captions" in read and not whole,
        )

    def joins(self, key: str) -> str:
        """The joins to the image that `key` names."""
        lines = [f"left join {name} on {name}.image_id = {key}" for name in self.tables]
        if self.texts:
            failed = "select text, max(error) as error from text_embeddings group by text"
            lines.append(f"left join ({failed}) as said on said.text = captions.caption")
        return "\n    ".join(lines)

    @property
    def error(self) -> str:
        """Why it failed; null otherwise."""
        places = [*self.tables, *["said"] * self.texts]
        return ", ".join(f"{name}.error" for name in places) or "null"

    @property
    def missing(self) -> str:
        """Whether some of it is not there."""
        return " or ".join(f"{name}.image_id is null" for name in self.tables) or "false"
