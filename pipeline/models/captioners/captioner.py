"""The captioner: which one, and how its files become an adapter that writes captions."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from PIL import Image

from pipeline.errors import UserError
from pipeline.models.captioners import plugin
from pipeline.models.captioners.generation import Caption, Generation, end_ids, keep_format_only
from pipeline.models.precision import Precision
from pipeline.models.weights import checkpoints
from pipeline.spec import ModelName, Parameters, tuning

__all__ = ["Caption", "Captioner", "CaptionerSpec", "Generation"]

_KIND = "captioner"


class Captioner(Protocol):
    """A loaded captioner: `Blip`, `VisionLanguage` for every other family, or a plugin's.

    `precision_used` (fp32, bf16 or fp16) and `device_used` say what it computes with here.
    """

    # what `caption` takes, of one RGB image: a function of a module, or a method of what can be
    # sent to another process; any thread or process may call it
    prepare: Callable[[Image.Image], Any]
    precision_used: str
    device_used: str
    device: Any

    def caption(
        self,
        prepared: Sequence[Any],
        generation: Generation | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Caption]:
        """One caption for each prepared image; `seeds` (one for each) only when sampling."""
        ...


class CaptionerSpec(Parameters):
    """Which captioner: a folder written by `save_pretrained`, a name on the hub, `plugin:NAME`.

    Code that comes with a checkpoint runs only with `trust_remote_code`.
    """

    model: ModelName
    precision: Precision = "fp32"
    trust_remote_code: bool = False
    device: str = tuning("auto")

    def identity(self) -> dict[str, Any]:
        """A hash of the local files, or the hub's name and commit, or of a plugin's source."""
        if offer := plugin.named(self.model):
            return {"plugin": offer.name, "source": offer.digest}
        return checkpoints.identity(self.model, "config.json")

    def load(self) -> Captioner:
        """The loaded model; UserError when it is not there, or writes no captions of images."""
        if offer := plugin.named(self.model):
            return plugin.PluginCaptioner(offer)
        from transformers.utils.logging import disable_progress_bar

        from pipeline.models import device, precision
        from pipeline.models.captioners.blip import Blip
        from pipeline.models.captioners.vision_language import VisionLanguage

        disable_progress_bar()  # of reading weights; it would run through ours
        place = device.resolve(self.device)
        used = precision.resolve(self.precision, place)
        name, revision = self._located()
        options = {"revision": revision, "trust_remote_code": self.trust_remote_code}
        try:
            model, processor = _read(name, precision.dtype(used), options)
        except Exception as problem:  # transformers and the hub raise some ten kinds of error here
            raise self._not_loadable(problem) from problem
        keep_format_only(model)
        adapter = Blip if model.config.model_type == "blip" else VisionLanguage
        return adapter(model.to(place).eval(), processor, place, used)

    def _located(self) -> tuple[str, str]:
        """What `from_pretrained` is to be given: (folder or repository, revision)."""
        return checkpoints.located(_KIND, self.model, "config.json")

    def _not_loadable(self, problem: Exception) -> UserError:
        error = checkpoints.not_loadable(_KIND, self.model, problem)
        if isinstance(problem, ImportError):
            return UserError(error.what, error.where, str(problem).strip().splitlines()[-1])
        if "trust_remote_code" in str(problem) and not self.trust_remote_code:
            return UserError(
                f"the {_KIND} '{self.model}' needs the program code that comes with it",
                error.where,
                "read that code; if you trust it, set `trust_remote_code: true` on this node",
            )
        return error


def _read(name: str, dtype: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """(model, processor), whole and fitting each other; any error says what is wrong."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    config = AutoConfig.from_pretrained(name, **options)
    _check_family(config, options["trust_remote_code"])
    model, report = AutoModelForImageTextToText.from_pretrained(
        name, config=config, dtype=dtype, weights_only=True, output_loading_info=True, **options
    )
    lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacking:
        raise ValueError(f"{len(lacking)} weights of a captioner are missing: {lacking[0]}")
    processor = AutoProcessor.from_pretrained(name, **options)
    for part in ("tokenizer", "image_processor"):
        if not hasattr(processor, part):
            raise ValueError(f"its processor ({type(processor).__name__}) has no {part}")
    _check_tokenizer(processor, model)
    return model, processor


def _check_family(config: Any, trusted: bool) -> None:
    """ValueError unless the checkpoint is one that writes texts about images."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if trusted and "AutoModelForImageTextToText" in (getattr(config, "auto_map", None) or {}):
        return
    wanted = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(config.model_type)
    if wanted is None:
        raise ValueError(f"it is a '{config.model_type}' model, which writes no captions of images")
    held = config.architectures or [wanted]
    if wanted not in held:
        raise ValueError(f"it holds a {held[0]}, which writes no captions; those are {wanted}")


def _check_tokenizer(processor: Any, model: Any) -> None:
    """ValueError for a tokenizer that was not made for this model, as far as that can be seen."""
    tokenizer = processor.tokenizer
    text = model.config.get_text_config(decoder=True)
    rows = model.get_output_embeddings()
    rows = text.vocab_size if rows is None else rows.weight.shape[0]
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise ValueError(
            f"its tokenizer does not fit: it has the token id {highest}, the model {rows} tokens"
        )
    ends = end_ids(model)
    if model.config.model_type == "blip":  # whose special tokens are cut off what it writes
        known = [end for end in ends if end in tokenizer.all_special_ids]
    else:  # others may end at any token: BLIP-2 with OPT ends at a line's end
        known = [end for end in ends if end <= highest]
    if not known:
        raise ValueError(
            f"its tokenizer does not fit: the model ends a text with token "
            f"{ends[0] if ends else None}, which is no end token of the tokenizer"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(known[0])
    own, wanted = (getattr(of, "image_token_id", None) for of in (processor, model.config))
    if None not in (own, wanted) and own != wanted:
        raise ValueError(
            f"its tokenizer does not fit: the image's place is token {own} for the processor, and "
            f"{wanted} for the model"
        )
