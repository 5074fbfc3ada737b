"""CLIP through open_clip: unit-length image, patch and text embeddings."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pydantic import model_validator

from pipeline.errors import UserError, nearest
from pipeline.models.clip.pixels import Fit, Pixels, fitted
from pipeline.models.clip.text_tower import TextTower
from pipeline.models.clip.view import View, shown
from pipeline.models.precision import Precision, computing
from pipeline.models.transfer import Home
from pipeline.models.weights import checkpoints
from pipeline.spec import ModelName, Parameters, tuning


class ClipSpec(Parameters):
    """Which CLIP: `local-dir:PATH`, `hf-hub:NAME`, or an open_clip model with a pretrained tag."""

    model: ModelName
    pretrained: str | None = None
    precision: Precision = "fp32"
    compile: bool = tuning(False)  # the image tower, by torch.compile: a minute each time it loads
    device: str = tuning("auto")

    @model_validator(mode="after")
    def _one_source(self) -> "ClipSpec":
        if self.named and not self.pretrained:
            raise ValueError(
                f"the open_clip model '{self.model}' needs `pretrained`, a tag such as openai "
                "(or give local-dir:PATH or hf-hub:NAME)"
            )
        if not self.named and self.pretrained:
            raise ValueError("`pretrained` goes with an open_clip model name, not with a folder")
        if self.pretrained and ("/" in self.pretrained or "." in self.pretrained):
            raise ValueError("`pretrained` is a tag; weights in a file go into a local-dir: folder")
        return self

    @property
    def named(self) -> bool:
        """Whether `model` is a name from open_clip's own list."""
        return checkpoints.local_folder(self.model) is None and not self.model.startswith("hf-hub:")

    def identity(self) -> dict[str, Any]:
        """A hash of the local files, the hub's commit, or open_clip's name and tag.

        A tag that a lock names has its commit (or the SHA-256 of its file) there too.
        """
        if not self.named:
            return checkpoints.identity(self.model, "open_clip_config.json")
        name, pin = checkpoints.split_pin(self.model)
        found = {"open_clip": name, "pretrained": self.pretrained}
        return {**found, "revision": pin} if pin else found

    def load(self) -> "Clip":
        """The loaded model; UserError when it cannot be found, fetched or read."""
        import open_clip

        from pipeline.models import precision
        from pipeline.models.device import resolve
        from pipeline.models.weights.no_random import NoRandom

        device = resolve(self.device)
        used = precision.resolve(self.precision, device)
        self._check_name()
        name, pretrained, transform = self._source()
        try:
            with NoRandom():  # open_clip is strict: no weight is left as it was
                model, preprocess = open_clip.create_model_from_pretrained(
                    name,
                    pretrained=pretrained,
                    precision=_open_clips_own(used),
                    device=device,
                    force_quick_gelu=self._quick_gelu(),
                    weights_only=True,
                    **transform,
                )
            tokenizer = open_clip.get_tokenizer(self._tokenizer(name))
        except Exception as problem:  # open_clip and the hub raise some ten kinds of error here
            raise checkpoints.not_loadable("CLIP model", self.model, problem) from problem
        return Clip(model.eval(), preprocess, tokenizer, device, used, self.compile)

    def _source(self) -> tuple[str, str | None, dict[str, Any]]:
        """What open_clip is asked for: model, tag or weights file, and settings of the transform.

        A pinned hub model is the folder of its snapshot; a pinned tag is its weights file, and the
        transform that goes with the tag.
        """
        from pipeline.models.weights import open_clip_tags

        kind, pin = "CLIP model", checkpoints.split_pin(self.model)[1]
        if self.named and self.pretrained and pin:
            bare = checkpoints.split_pin(self.model)[0]
            file = open_clip_tags.pinned_file(bare, self.pretrained, pin)
            return bare, str(file), open_clip_tags.transform(bare, self.pretrained)
        if self.named or pin is None:
            repository = self._repository()
            if repository and not checkpoints.within_reach(repository):
                raise checkpoints.not_loadable(kind, self.model, checkpoints.OUT_OF_REACH)
            folder = checkpoints.local_folder(self.model)
            name = self.model if folder is None else f"local-dir:{folder}"
            return name, self.pretrained, {}
        found, _ = checkpoints.located(kind, self.model, "open_clip_config.json")
        if found == checkpoints.repository(self.model):  # open_clip loads no revision but `main`
            raise checkpoints.not_loadable(kind, self.model, "its locked revision is incomplete")
        return f"local-dir:{found}", None, {}

    def _tokenizer(self, name: str) -> str:
        """What open_clip is asked for the tokenizer of `name`.

        From a folder it takes that folder's tokenizer; a snapshot that has none names another
        repository, which open_clip looks up for a hub model only.
        """
        from pipeline.models.weights import required_files

        folder = checkpoints.local_folder(name)
        if folder is None or checkpoints.local_folder(self.model) is not None:
            return name
        others = required_files.open_clip_tokenizer(folder) and not required_files.has_tokenizer(
            folder
        )
        return f"hf-hub:{checkpoints.repository(self.model)}" if others else name

    def _check_name(self) -> None:
        import open_clip
        from open_clip.pretrained import list_pretrained_tags_by_model

        if not self.named:
            return
        models, name = open_clip.list_models(), checkpoints.split_pin(self.model)[0]
        if name not in models:
            raise UserError(f"open_clip knows no '{name}'", hint=nearest(name, models))
        tags = list_pretrained_tags_by_model(name)
        if self.pretrained not in tags:
            raise UserError(
                f"open_clip knows no weights '{self.pretrained}' of {name}",
                hint=nearest(str(self.pretrained), tags),
            )

    def _repository(self) -> str | None:
        """The hub repository that the weights come from, if they come from one."""
        from pipeline.models.weights import open_clip_tags

        if self.named and self.pretrained:
            return open_clip_tags.source(self.model, self.pretrained).repository
        is_hub = self.model.startswith("hf-hub:")
        return checkpoints.repository(self.model) if is_hub else None

    def _quick_gelu(self) -> bool:
        """Whether the tag's weights were trained with QuickGELU: open_clip only warns about it."""
        from open_clip.pretrained import get_pretrained_cfg

        if not self.pretrained:
            return False
        name = checkpoints.split_pin(self.model)[0]
        return bool(get_pretrained_cfg(name, self.pretrained).get("quick_gelu", False))


class Clip:
    """A loaded CLIP: both towers, the model's own transform and tokenizer.

    `width` is the embedding width d; `image_size` the (height, width) in pixels that the image
    tower sees; `precision_used` (fp32, bf16 or fp16) and `device_used` what it computes with here.
    With `compiled` the image tower goes through torch.compile when it is first used.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Any,
        tokenizer: Any,
        device: Any,
        precision: str,
        compiled: bool = False,
    ):
        import torch
        from open_clip import get_input_dtype

        model.visual.to(memory_format=torch.channels_last)
        self.model, self.tokenizer, self.device = model, tokenizer, device
        self.precision_used, self.device_used = precision, str(device)
        self._encode_image = torch.compile(model.encode_image) if compiled else model.encode_image
        self._pixels, self._text_tower = Pixels(preprocess), TextTower(model)
        self._dtype = get_input_dtype(_open_clips_own(precision)) or torch.float32
        # what `encode_images` takes, of one RGB image: resized, cropped; any thread or process may
        # make it
        self.prepare = self._pixels.prepare
        self._settings = settings = model.visual.preprocess_cfg
        size = settings["size"]
        self.image_size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self.resize_mode: str = settings["resize_mode"]
        # the one way to ask any tower, open_clip's own or timm's, for its output width
        self.width: int = self.encode_texts(["a"])[0].shape[1]

    def fitted(self, fit: Fit) -> Callable[[Image.Image], Any]:
        """`prepare`, but that pictures of another shape than the model's are fitted by `fit`.

        See `pipeline.models.clip.pixels.fitted`.
        """
        return fitted(self._settings, fit).prepare

    def encode_images(self, prepared: Sequence[Any]) -> Any:
        """Features of prepared images, a tensor [n, d] on the device that may not be ready yet.

        `unit` makes unit vectors of them. A model that yields no finite vector for an image gives
        NaN in its row.
        """
        with computing(self.precision_used):
            return self._encode_image(self._batch(prepared))

    def encode_patches(self, prepared: Sequence[Any]) -> tuple[Any, tuple[int, int]]:
        """Patch features in the joint space, a tensor [n, rows * columns, d], and the grid.

        The last block runs with every token attending to itself only, so that a patch keeps what
        it shows instead of passing it to the class token (MaskCLIP: Zhou, Loy and Dai, "Extract
        Free Dense Labels from CLIP", ECCV 2022, section 3.2). Patches are in row-major order.
        UserError for image towers that are not open_clip VisionTransformers.
        """
        import torch

        tower = self._vision_transformer()
        with computing(self.precision_used):
            tokens = tower._embeds(self._batch(prepared))
            *blocks, last = tower.transformer.resblocks
            flip = not tower.transformer.batch_first
            tokens = tokens.transpose(0, 1) if flip else tokens
            for block in blocks:
                tokens = block(tokens)
            length = tokens.shape[0 if flip else 1]
            alone = torch.full((length, length), float("-inf"), device=self.device)
            tokens = last(tokens, attn_mask=alone.fill_diagonal_(0.0).to(tokens.dtype))
            tokens = tokens.transpose(0, 1) if flip else tokens
            patches = tower.ln_post(tokens[:, 1:])
            patches = patches if tower.proj is None else patches @ tower.proj
            return patches, tuple(tower.grid_size)

    def encode_texts(self, texts: Sequence[str]) -> tuple[Any, np.ndarray]:
        """Features of texts, a tensor [n, d] as of `encode_images`, and bool [n]: text was cut."""
        tokens = self.tokenizer(list(texts))
        self._check_fits(tokens)
        with computing(self.precision_used):
            features = self._text_tower(tokens, self._padding(), self.device)
        return features, self._truncated(texts, tokens)

    def visible(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """What the image tower sees of an image of `size` (width, height) pixels.

        A box (x0, y0, x1, y1) in fractions of the image: inside it after a centre crop, beyond it
        where the transform pads.
        """
        part = shown(View(self.resize_mode, *self.image_size), *size)
        x0, y0 = (0.5 - float(share) / 2 for share in part)
        return (x0, y0, x0 + float(part[0]), y0 + float(part[1]))

    def _batch(self, prepared: Sequence[Any]) -> Any:
        return self._pixels.batch(prepared, self.device, self._dtype)

    def _check_fits(self, tokens: Any) -> None:
        """UserError when a token has no row in the text tower's embedding."""
        rows = getattr(self._text_tower.embedding, "num_embeddings", None)
        if rows is not None and int(tokens.max()) >= rows:
            raise UserError(
                f"this CLIP's tokenizer does not fit: it gave the token {int(tokens.max())}, and "
                f"the text tower knows {rows}",
                hint="get the tokenizer files again from where the weights came from",
            )

    def _padding(self) -> int:
        inner = getattr(self.tokenizer, "tokenizer", None)  # open_clip's own tokenizer pads with 0
        return getattr(inner, "pad_token_id", None) or 0

    def _vision_transformer(self) -> Any:
        from open_clip.transformer import VisionTransformer

        tower = self.model.visual
        if not isinstance(tower, VisionTransformer) or tower.attn_pool is not None:
            raise UserError(
                f"this CLIP's image tower ({type(tower).__name__}) gives no patch embeddings",
                hint="ground with `method: whole`, or with a plain ViT such as ViT-B-32",
            )
        return tower

    def _truncated(self, texts: Sequence[str], tokens: Any) -> np.ndarray:
        """A text was cut when a context one token longer holds one token more of it."""
        context = tokens.shape[1]
        pad = self._padding()
        counts = (tokens != pad).sum(1).numpy()
        cut = np.zeros(len(texts), bool)
        full = np.flatnonzero(counts >= context - 1)
        if len(full):
            wider = self.tokenizer([texts[i] for i in full], context_length=context + 1)
            cut[full] = (wider != pad).sum(1).numpy() > counts[full]
        return cut


def unit(features: Any) -> Home:
    """Float32 unit vectors [..., d] and their former norms [...], on their way to the host."""
    features = features.float()
    norms = features.norm(dim=-1, keepdim=True)
    return Home(features / norms, norms.squeeze(-1))


def _open_clips_own(precision: str) -> str:
    """TF32 is how float32 is multiplied, which open_clip has no word for."""
    return "fp32" if precision == "tf32" else precision
