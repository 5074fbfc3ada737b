"""The text of a new DAG file, with a comment at every choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from pipeline.shipped import folder

EXPERIMENT = "detector"  # its name, where there is one


@dataclass(frozen=True)
class Models:
    """A set of models that go together: bundled folders, or names of public checkpoints.

    `clip` and `tag` as open_clip knows them; without a `detector` CLIP's patches find the objects.
    `device` is written where a GPU must do it, `precision` where it is not to be fp32.
    """

    name: str
    about: str
    captioner: str
    clip: str
    tag: str = ""
    detector: str = ""
    precision: str = ""
    device: str = ""


def bundled(model: str) -> str:
    """The folder of a bundled model."""
    return str(folder("data").resolve() / "demo" / "models" / model)


BUNDLED = Models(
    "bundled",
    "the bundled ones, which know the demo's drawn scenes and no photographs",
    bundled("captioner"),
    f"local-dir:{bundled('clip')}",
)
SMALL = Models(
    "public, small",
    "BLIP base, CLIP ViT-B-32",
    "Salesforce/blip-image-captioning-base",
    "ViT-B-32",
    "laion2b_s34b_b79k",
)
LARGE = Models(
    "public, large",
    "BLIP large, CLIP ViT-L-14, OWLv2",
    "Salesforce/blip-image-captioning-large",
    "ViT-L-14",
    "openai",
    "google/owlv2-base-patch16-ensemble",
    "bf16",
    "cuda",
)

_TEXT = """\
# Written by `item init`. It decides what is computed; dags/README.md of item has every key.
#
#   item plan             what there is to do, and why
#   item run              compute it (safe to stop and repeat), then the experiments
#   item query --list     questions to what is there, such as `item query coverage`
name: {name}
corpus:
  root: {root}
  layout: {layout}  # how labels lie in the paths; other layouts: dags/README.md of item
  part_size: {part_size}  # images of a unit of work

# models: {why}
nodes:
  # what the picture shows, in a sentence
{warning}  captions:
    stage: caption
    images: images
    model: {captioner}
    num_beams: 3{on_device}
  # the objects that the sentence names: its noun phrases
  objects:
    stage: parse
    captions: captions
    model: {parser}
  # what CLIP makes of the picture
  image_embeddings:
    stage: embed_images
    images: images
    clip: &clip {clip}
  # where each object is in the picture
  regions:
    stage: ground
    images: images
    objects: objects
{locator}
  # what CLIP makes of the texts, and of the regions
  text_embeddings:
    stage: embed_texts
    captions: captions
    objects: objects
    clip: *clip
  object_embeddings:
    stage: embed_objects
    images: images
    regions: regions
    clip: *clip
  # how far picture and sentence (global), regions and phrases (local) are from each other
  misalignment:
    stage: misalign
    captions: captions
    objects: objects
    image_embeddings: image_embeddings
    text_embeddings: text_embeddings
    object_embeddings: object_embeddings
  # the same as vectors, which the head is trained on
  features:
    stage: features
    captions: captions
    objects: objects
    image_embeddings: image_embeddings
    text_embeddings: text_embeddings
    object_embeddings: object_embeddings
    misalignment: misalignment

max_failed_share: 0.01  # of an image's rows: with more failures `item run` ends with exit code 1
"""
_NO_PHOTOGRAPHS = """\
  # THE BUNDLED MODELS KNOW THE DEMO'S DRAWN SCENES AND NOTHING ELSE: on photographs their
  # captions are wrong. They show the machinery. For real work, where there is a network:
  # `item init FOLDER --models public --force`, then `item models fetch`.
"""
_NO_EXPERIMENT = """
# No experiment: too few labelled images to train and test on. With more it would be, for example:
# experiments:
#   detector:
#     train: "split = 'train'"
#     test: "split = 'test'"
"""


def dag_text(
    name: str,
    root: str,
    layout: str,
    part_size: int,
    models: Models,
    why: str,
    experiment: Sequence[str],
) -> str:
    """The file. `experiment` has the lines of the only one, or none."""
    pinned = f", precision: {models.precision}" if models.precision else ""
    pinned += f", device: {models.device}" if models.device else ""
    tag = f", pretrained: {models.tag}" if models.tag else ""
    clip = f"{{model: {scalar(models.clip)}{tag}{pinned}}}"
    on_device = "".join(f"\n    {one}" for one in pinned.split(", ") if one)
    locator = "    method: patches  # by CLIP's own patches\n    clip: *clip"
    if models.detector:
        locator = f"    method: owlv2\n    model: {models.detector}{on_device}"
    text = _TEXT.format(
        name=name,
        root=scalar(root),
        layout=layout,
        part_size=part_size,
        why=f"{models.about}; {why}",
        warning=_NO_PHOTOGRAPHS if models is BUNDLED else "",
        captioner=scalar(models.captioner),
        on_device=on_device,
        parser=f"{scalar(bundled('parser'))}  # bundled: knows English captions in general",
        locator=locator,
        clip=clip,
    )
    if not experiment:
        return text + _NO_EXPERIMENT
    lines = "\n".join(f"    {line}" for line in experiment)
    head = "# heads on these features, and baselines beside them"
    return f"{text}\n{head}\nexperiments:\n  {EXPERIMENT}:\n{lines}\n"


def scalar(text: str) -> str:
    """A text as YAML has it in quotes, whatever is in it."""
    return yaml.safe_dump(text, default_style='"', width=2**20, allow_unicode=True).strip()
