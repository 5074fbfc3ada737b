"""The DAG file: reading, `--set` overrides, and validation with errors that name file and key."""

import os
import shlex
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.corpus import variants
from pipeline.corpus.formats.known import FORMATS
from pipeline.corpus.layouts.pattern import check_pattern
from pipeline.corpus.layouts.plain import UNLABELLED
from pipeline.corpus.layouts.registry import REGEX, Reading, check_name
from pipeline.corpus.limits import Limits, check_formats
from pipeline.corpus.sources.fields import ROLES, Fields
from pipeline.corpus.sources.source import AUTO, Source
from pipeline.corpus.sources.source import KINDS as SOURCES
from pipeline.dag import plugins
from pipeline.dag.cluster import KINDS, Cluster, Local, with_kind
from pipeline.dag.experiment import Experiment
from pipeline.dag.overrides import override
from pipeline.errors import UserError, nearest
from pipeline.plugins import offered
from pipeline.shipped import folder
from pipeline.spec import Parameters, TypedPath


class Corpus(Parameters):
    """Where the images lie, and how their labels are read from paths, columns or files beside.

    `source`: what the root is; auto tells by its name, or by what lies there. `columns`: what says
    what of an image (`corpus.sources.fields.ROLES`), and `labels`: what a value of the label means.
    Images in other `formats`, or beyond the `limits` of one image, are failed rows of the listing,
    and asked for nowhere else.
    """

    root: Annotated[str, TypedPath()]
    source: Literal[SOURCES] = AUTO
    columns: dict[str, str | None] = Field(default_factory=dict)
    labels: dict[str, Literal["real", "fake"]] = Field(default_factory=dict)
    layout: Annotated[str, AfterValidator(check_name)] = UNLABELLED.name
    pattern: str | None = None  # of the layout regex: what it matches the paths with
    dataset: str | None = None
    formats: Annotated[tuple[str, ...], AfterValidator(check_formats)] = FORMATS
    limits: Limits = Limits()
    part_size: int = Field(4096, ge=1)  # images to a part, for parts that are new
    limit: int | None = Field(None, ge=1)  # only this many files, spread evenly over the corpus
    variants: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # split or `all` -> names
    variant_share: float = Field(1.0, gt=0, le=1)  # of the images of these splits

    @field_validator("variants", mode="before")
    @classmethod
    def _expanded(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        full = {}
        for split, names in given.items():
            several = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
            if not several and not isinstance(names, str):
                raise ValueError(f"{split}: a list of variants, or the name of a preset")
            try:
                full[split] = variants.expanded(names)
            except ValueError as error:
                raise ValueError(f"{split}: {error}") from None
        variants.check_splits(full)
        return full

    @field_validator("columns")
    @classmethod
    def _known(cls, given: dict[str, str | None]) -> dict[str, str | None]:
        for role in given:
            if role not in ROLES:
                raise ValueError(f"there is no role '{role}' of a column: {nearest(role, ROLES)}")
        return given

    @field_validator("labels", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """YAML reads 0 as a number, and columns are compared as text."""
        return (
            {str(key): value for key, value in given.items()} if isinstance(given, dict) else given
        )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, given: str | None) -> str | None:
        if given is not None:
            check_pattern(given)
        return given

    @model_validator(mode="after")
    def _pattern_goes_with_regex(self) -> Self:
        if self.layout == REGEX and self.pattern is None:
            raise ValueError("the layout regex needs a `pattern`, such as (?P<label>[^/]+)/.*")
        if self.layout != REGEX and self.pattern is not None:
            raise ValueError(f"a `pattern` is for the layout regex, not for {self.layout}")
        return self

    @property
    def origin(self) -> Source:
        """Where the images come from."""
        return Source(self.root, self.source, Fields(self.columns, self.labels))

    @property
    def reading(self) -> Reading:
        """How the paths are read."""
        return Reading(self.layout, self.dataset, self.pattern)

    @property
    def splits_of(self) -> dict[str, tuple[str, ...]]:
        """Variant -> the splits whose images are wanted in it, or `all`, in the file's order."""
        names = dict.fromkeys(name for some in self.variants.values() for name in some)
        return {
            name: tuple(split for split, some in self.variants.items() if name in some)
            for name in names
        }

    @field_validator("root")
    @classmethod
    def _absolute(cls, value: str, info: ValidationInfo) -> str:
        if "://" in value:
            return value
        base = (info.context or {}).get("base", Path())
        return str((base / Path(value).expanduser()).resolve())


NAME = r"^[A-Za-z0-9_-]+$"  # of a DAG


class DagFile(Parameters):
    """One DAG file. Nodes stay plain mappings here: `pipeline.dag.graph` checks them against
    stages. `plugins` are Python files, which run: see `pipeline.plugins.offered`."""

    name: str = Field(pattern=NAME)
    plugins: tuple[Annotated[str, TypedPath()], ...] = ()
    corpus: Corpus
    nodes: dict[str, dict[str, Any]]
    experiments: dict[str, Experiment] = Field(default_factory=dict)
    cluster: Cluster = Local()
    max_failed_share: float = Field(0.01, ge=0, le=1)
    lock: Annotated[str | None, TypedPath()] = (
        None  # the lock file's place, when it is not the usual one
    )

    @field_validator("cluster", mode="before")
    @classmethod
    def _kind(cls, given: Any) -> Any:
        return with_kind(given)

    @field_validator("plugins", mode="before")
    @classmethod
    def _in_place(cls, given: Any, info: ValidationInfo) -> Any:
        base = (info.context or {}).get("base", Path())
        return plugins.places(given, base)

    @field_validator("lock")
    @classmethod
    def _absolute(cls, value: str | None, info: ValidationInfo) -> str | None:
        base = (info.context or {}).get("base", Path())
        return None if value is None else str((base / Path(value).expanduser()).resolve())


def find(dag: str) -> Path:
    """The file of `dag`: a path, or the name of a shipped DAG."""
    path = Path(os.path.expanduser(dag))  # noqa: PTH111 (it raises for a ~name that is no user)
    if path.suffix in (".yaml", ".yml") or "/" in dag:
        if not path.is_file():
            _check_no_folder(path)
            raise UserError(f"there is no DAG file {path}", hint=f"shipped DAGs: {_shipped()}")
        return path
    shipped = folder("dags") / f"{dag}.yaml"
    if not shipped.is_file():
        here = [name for end in ("yaml", "yml") if Path(name := f"{dag}.{end}").is_file()]
        names = [p.stem for p in folder("dags").glob("*.yaml")]
        hint = f"{nearest(dag, names)}; or give the path of a .yaml file"
        if not here:
            _check_no_folder(path)
        raise UserError(
            f"there is no shipped DAG '{dag}'", hint=f"did you mean {here[0]}?" if here else hint
        )
    return shipped


def _check_no_folder(path: Path) -> None:
    if path.is_dir():
        hint = f"`item init {shlex.quote(str(path))}` makes a DAG file of the images in it"
        raise UserError("a folder is no DAG file", str(path), hint)


def _shipped() -> str:
    return ", ".join(sorted(p.stem for p in folder("dags").glob("*.yaml"))) or "none"


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; MarkedYAMLError, with its place, for a key that is there already."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *anchor`
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(path: Path, overrides: list[str] | None = None) -> DagFile:
    """The validated DAG file. `overrides` are `key.path=value`: see `pipeline.dag.overrides`.

    Paths in the file are relative to the file, paths in overrides to the current folder.
    """
    raw = mapping(path)
    # each node gets its own copy: YAML anchors share one mapping, an override must not leak
    raw = {key: deepcopy(value) for key, value in raw.items()}
    raw["nodes"] = {name: deepcopy(node) for name, node in raw["nodes"].items()}
    for text in overrides or []:
        override(raw, text, DagFile)
    base = path.resolve().parent
    try:
        offers = plugins.load(plugins.places(raw.get("plugins"), base))
    except UserError as error:
        raise UserError(error.what, error.where or f"{path}: plugins", error.hint) from error
    with offered.visible(offers):
        return validate(DagFile, raw, base, str(path))


def mapping(path: Path) -> dict[str, Any]:
    """What stands in a DAG file; UserError for what is no YAML, or no mapping with nodes."""
    try:
        # _Loader is a SafeLoader: it builds plain values only
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"this is not valid YAML: {error}", where=str(path)) from None
    if not isinstance(raw, dict) or not isinstance(raw.get("nodes"), dict):
        raise UserError(
            "a DAG file is a mapping with name, corpus and nodes",
            where=str(path),
            hint=f"start from a shipped one: {folder('dags')}",
        )
    return raw


def validate(model: type[Any], raw: Any, base: Path, where: str, **context: Any) -> Any:
    """`raw` as a `model`; UserError with the file, the key and the nearest valid key.

    Validators find `base` (of relative paths) and `context` in their `info.context`.
    """
    try:
        return TypeAdapter(model).validate_python(raw, context={"base": base, **context})
    except ValidationError as failure:
        problems = [_problem(model, error) for error in failure.errors(include_url=False)]
        raise UserError("; ".join(problems), where=where) from None


def _problem(model: type[Any], error: Any) -> str:
    steps = [str(step) for step in error["loc"]]
    key = ".".join(_typed(steps)) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}': {nearest(steps[-1], _keys(model, steps[:-1]))}"
    if error["type"] == "missing":
        return f"the key '{key}' is missing"
    shown = f" (got {error['input']!r})" if not isinstance(error["input"], dict) else ""
    said = error["msg"].removeprefix("Value error, ")
    return f"{key}: {said}{shown}" if steps else said


def _typed(steps: list[str]) -> list[str]:
    """`steps` as a user types them: pydantic adds the cluster's kind."""
    added = len(steps) > 1 and steps[0] == "cluster" and steps[1] in KINDS
    return [steps[0], *steps[2:]] if added else steps


def _keys(model: type[Any], steps: list[str]) -> list[str]:
    """The valid keys of the (nested) model that `steps` lead to."""
    fields = getattr(model, "model_fields", {})
    if steps[:1] == ["cluster"] and len(steps) > 1:
        return list(KINDS[steps[1]].model_fields)
    for step in steps:
        inner = fields.get(step)
        if inner is None:
            continue  # the key of a mapping, such as an experiment's name
        kinds = [inner.annotation, *getattr(inner.annotation, "__args__", ())]
        nested = [kind for kind in kinds if hasattr(kind, "model_fields")]
        if nested:
            fields = nested[0].model_fields
    return list(fields)
