"""What a stage and a model are to everybody else: declarations, parameters, the names of models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from pipeline.shipped import BUNDLED, here, where_bundled


class Parameters(BaseModel):
    """Base of all stage parameters: an unknown key is an error, a value cannot change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def phrase_template(parameters: Parameters) -> str:
    """How a phrase becomes a text, of a stage that embeds phrases or finds them again."""
    return str(vars(parameters)["phrase_template"])


def tuning(default: Any, **constraints: Any) -> Any:
    """A field that changes speed, never output: it stays out of the fingerprint."""
    return Field(default, json_schema_extra={"fingerprint": False}, **constraints)


def place(default: Any = ..., **constraints: Any) -> Any:
    """A field that says where something lies; the fingerprint has what lies there, not where."""
    return Field(default, json_schema_extra={"fingerprint": False}, **constraints)


@dataclass(frozen=True)
class TypedPath:
    """Says of a text that it is a path: relative to the DAG file, and in `--set` to the folder.

    Where not `bare`, only if it is written as one: `./x`, `../x`, `~/x`, `local-dir:x`.
    """

    bare: bool = True


def _resolve_model(value: str, info: ValidationInfo) -> str:
    base: Path | None = (info.context or {}).get("base")
    path = value.removeprefix("local-dir:")
    if path.startswith(BUNDLED):
        return value[: -len(path)] + here(path)
    local = value != path or path.startswith(("./", "../", "/", "~"))
    if base is None:
        return value
    if not local:
        _check_name(value, base)
        return value
    return value[: -len(path)] + str((base / Path(path).expanduser()).resolve())


def _check_name(value: str, base: Path) -> None:
    """ValueError for a path that is written as if it were a name on the hub."""
    name = value.removeprefix("hf-hub:")
    place = base / name
    if name == value and "/" in name and place.is_dir():
        raise ValueError(
            f"a folder, or a name on the Hugging Face hub? {place.resolve()} is there: write "
            f"./{name} for it, or hf-hub:{name}"
        )
    if name.count("/") > 1 or "\\" in name:
        raise ValueError(
            "this is no name on the Hugging Face hub (OWNER/NAME), and a folder is written with "
            f"./, ../ or / in front; as one it was looked for at {place.resolve()}, where there is "
            f"none{where_bundled(name)}"
        )


# A hub name, an installed package, `local-dir:PATH` or a path (relative to the DAG file, or
# `item:data/…` for what is bundled, wherever that lies). What it
# resolves to is in the fingerprint through the model's identity, so the name itself is not.
ModelName = Annotated[
    str,
    AfterValidator(_resolve_model),
    TypedPath(bare=False),
    Field(json_schema_extra={"fingerprint": False}),
]


class ModelSpec(Protocol):
    """What a stage asks of `pipeline.models`: a small value that names, identifies and loads."""

    def identity(self) -> dict[str, Any]:
        """What decides the model's output: hub name and revision, or a hash of the local files.

        Must be cheap and must not import torch, open_clip, transformers or spacy. Raises UserError
        when a local model does not exist.
        """
        ...

    def load(self) -> Any:
        """The loaded adapter, in this process."""
        ...


@dataclass(frozen=True)
class Stage:
    """A stage's declaration.

    `run(inputs, parameters, models)` gets the part's input tables by name, validated parameters,
    and the loaded models in the order of `models(parameters)`. `key` is the column whose distinct
    values are counted as rows in, ok and failed: `image_id`, or `text_id`. A node may do without
    the inputs that are `optional`. What a row is made from is the rows of the inputs with its
    image_id, and beside them, where these are given:

    - `texts(inputs, parameters)`: the texts that images need, columns image_id and text. A stage
      whose key is text_id gets them as its only input `texts` (text_id, text), each once; any other
      finds their rows in its input `text_embeddings`.
    - `finds(inputs, parameters)`: by what else an image is found, string [images].

    `distinct(images, parameters)` raises UserError where what it is found by does not tell the
    images of a corpus apart; `images` (image_id, uri) has a row for each content that is asked for.
    Where `captions(parameters)`, these rows and those of the input `images` have a `caption`, the
    one that came with the image in the corpus.

    `columns` are those of an `output` that no stage of `item`'s own makes (`tables.declare`).
    """

    name: str
    version: int
    inputs: tuple[str, ...]
    output: str
    parameters: type[Parameters]
    run: Callable[[Mapping[str, pa.Table], Any, Sequence[Any]], pa.Table]
    models: Callable[[Any], tuple[ModelSpec, ...]] = lambda parameters: ()
    key: str = "image_id"
    optional: tuple[str, ...] = ()  # inputs that a node may do without
    texts: Callable[[Mapping[str, pa.Table], Any], pa.Table] | None = None
    finds: Callable[[Mapping[str, pa.Table], Any], Sequence[str | None]] | None = None
    distinct: Callable[[pa.Table, Any], None] | None = None
    captions: Callable[[Any], bool] = lambda parameters: False
    columns: Mapping[str, Any] | None = None


def output_parameters(parameters: BaseModel) -> dict[str, Any]:
    """The parameters that change a stage's output, as plain JSON values."""
    kept: dict[str, Any] = {}
    for name, field in type(parameters).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("fingerprint") is False:
            continue
        value = getattr(parameters, name)
        value = list(value) if isinstance(value, tuple) else value  # as it is read back
        kept[name] = output_parameters(value) if isinstance(value, BaseModel) else value
    return kept
