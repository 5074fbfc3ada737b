"""A captioner that a plugin offers, as the adapter that the caption stage works with."""

from collections.abc import Sequence

from PIL import Image

from pipeline.errors import UserError, nearest, worded
from pipeline.models.captioners.generation import Caption, Generation
from pipeline.plugins import offered
from pipeline.plugins.offered import CAPTIONER, Offer


def named(model: str) -> Offer | None:
    """The plugin behind a model's name; None if that is a model's. UserError for one of nobody."""
    if not model.startswith(CAPTIONER):
        return None
    name = model.removeprefix(CAPTIONER)
    offer = offered.find("captioner", name)
    if offer is None:
        hint = nearest(name, offered.names("captioner"))
        raise UserError(f"no plugin offers a captioner '{name}'", hint=f"{hint}; see `plugins`")
    return offer


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


class PluginCaptioner:
    """See `pipeline.models.captioners.captioner.Captioner`; tokens are not known of its captions.

    `precision_used` and `device_used` are empty: the plugin's own matter.
    """

    prepare = staticmethod(_as_it_is)
    precision_used = device_used = ""
    device = None

    def __init__(self, offer: Offer):
        """UserError when the plugin cannot load."""
        self._name = offer.name
        try:
            self._write = offer.value.load()
        except Exception as error:  # a user's code raises anything
            raise UserError(
                f"the captioner '{offer.name}' could not be loaded: {worded(error)}", offer.place
            ) from error

    def caption(
        self,
        prepared: Sequence[Image.Image],
        generation: Generation | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[Caption]:
        """One caption for each image. TypeError for another number of them, and for no texts."""
        texts = list(self._write(list(prepared), generation or Generation()))
        if len(texts) != len(prepared) or not all(isinstance(text, str) for text in texts):
            raise TypeError(
                f"the captioner '{self._name}' gave {len(texts)} captions of {len(prepared)} "
                "images, or some that are no texts"
            )
        return [Caption(" ".join(text.split()), None, None) for text in texts]
