"""Whether an image has what an experiment's methods read, in SQL: it failed, or is not made yet."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from pipeline.dag.experiment import Experiment
from pipeline.query.part_sql import identifier
from pipeline.tables import COLUMNS, OWN

# tables that methods read an image's rows of; what fails before `features` has failed there as well
COMPUTED = ("features", "image_embeddings", "captions", "object_embeddings")
_BEFORE_FEATURES = ("captions", "object_embeddings")
# its view has the objects alone; here an image without any has its row
OF_OBJECTS = "store.object_embeddings"
# a row an image: failed, as in `features`, when its caption names objects and none is embedded
_BY_IMAGE = (
    "(select image_id, if(count(*) > count(error), null, max(error)) as error "
    f"from {OF_OBJECTS} group by image_id)"
)


@dataclass(frozen=True)
class Computed:
    """The views `tables` that an image's rows are looked for in; `texts`: its caption's too.

    Views of tables, and of the nodes that are probed.
    """

    tables: tuple[str, ...]
    texts: bool

    @classmethod
    def of(cls, experiment: Experiment, made: Collection[str]) -> "Computed":
        """What an experiment reads, of the tables that the DAG's nodes make."""
        return cls.among(experiment.tables(made), experiment.probes.values())

    @classmethod
    def among(cls, read: Collection[str], probed: Collection[str] = ()) -> Self:
        """The same for methods that read these tables, and these nodes' embeddings."""
        whole = "features" in read
        own = [n for n in COMPUTED if n in read and not (whole and n in _BEFORE_FEATURES)]
        own += sorted(set(read) & (set(COLUMNS) - OWN))  # of plugins
        return cls(
            tuple(dict.fromkeys([*own, *probed])),
            "text_embeddings" in read and "captions" in read and not whole,
        )

    def joins(self, key: str) -> str:
        """The joins to the image that `key` names."""
        lines = []
        for table in self.tables:
            name = identifier(table)
            rows = _BY_IMAGE if table == "object_embeddings" else name
            lines.append(f"left join {rows} as {name} on {name}.image_id = {key}")
        if self.texts:
            failed = "select text, max(error) as error from text_embeddings group by text"
            lines.append(f"left join ({failed}) as said on said.text = captions.caption")
        return "\n    ".join(lines)

    @property
    def error(self) -> str:
        """Why it failed; null otherwise."""
        places = [*map(identifier, self.tables), *["said"] * self.texts]
        return ", ".join(f"{name}.error" for name in places) or "null"

    @property
    def missing(self) -> str:
        """Whether some of it is not there."""
        names = map(identifier, self.tables)
        return " or ".join(f"{name}.image_id is null" for name in names) or "false"
