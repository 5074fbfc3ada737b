"""Zero-shot object detectors through transformers: which one, and how it loads."""

from typing import Any, Literal

from pipeline.models.detectors.base import Detector
from pipeline.models.precision import Precision
from pipeline.models.weights import checkpoints
from pipeline.spec import ModelName, Parameters, tuning

Family = Literal["owlv2", "grounding-dino"]


class DetectorSpec(Parameters):
    """Which detector: a folder written by `save_pretrained`, or a name on the hub.

    Weights stay float32; bf16 and fp16 are autocast around the towers, never around what turns
    their features into coordinates, where eight bits would be pixels.
    """

    family: Family
    model: ModelName
    precision: Precision = "fp32"
    trust_remote_code: bool = False
    device: str = tuning("auto")

    def identity(self) -> dict[str, Any]:
        """A hash of the local files, or the hub's name and commit."""
        return checkpoints.identity(self.model, "config.json")

    def load(self) -> "Detector":
        """The loaded model; UserError when it is not there, damaged, or of another family."""
        from transformers.utils.logging import disable_progress_bar

        from pipeline.models import precision
        from pipeline.models.device import resolve

        disable_progress_bar()  # of reading weights; it would run through ours
        device = resolve(self.device)
        used = precision.resolve(self.precision, device)
        kind = f"{self.family} detector"
        name, revision = checkpoints.located(kind, self.model, "config.json")
        try:
            model, processor = self._read(name, revision)
            adapter = _adapter(self.family)
            adapter.check(model, processor)
        except Exception as problem:  # transformers and the hub raise some ten kinds of error here
            raise checkpoints.not_loadable(kind, self.model, problem) from problem
        return adapter(model.to(device).eval(), processor, device, used)

    def _read(self, name: str, revision: str) -> tuple[Any, Any]:
        import torch
        from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor

        source = {"revision": revision, "trust_remote_code": self.trust_remote_code}
        family = AutoConfig.from_pretrained(name, **source).model_type
        if family != self.family:
            raise ValueError(f"it is a '{family}' model, and the method is {self.family}")
        model, report = AutoModelForZeroShotObjectDetection.from_pretrained(
            name, dtype=torch.float32, weights_only=True, output_loading_info=True, **source
        )
        lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        if lacking:
            raise ValueError(f"{len(lacking)} weights of a detector are missing: {lacking[0]}")
        return model, AutoProcessor.from_pretrained(name, **source)


def _adapter(family: Family) -> type[Detector]:
    if family == "owlv2":
        from pipeline.models.detectors.owlv2 import Owlv2

        return Owlv2
    from pipeline.models.detectors.grounding_dino import GroundingDino

    return GroundingDino
