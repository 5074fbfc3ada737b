"""Whoever asks the demo's models about photographs is told what they know."""

from pipeline.dag.bundled import note
from pipeline.dag.graph import load
from pipeline.shipped import folder
from tests.conftest import DEMO_MODELS


def test_bundled_models_are_asked_about_bundled_images_alone(tmp_path):
    nodes = load("demo").nodes.values()
    bundled = str(folder("data").resolve() / "demo" / "corpus")
    assert note(nodes, [bundled]) is None
    assert "know drawn scenes and no photographs" in note(nodes, [str(tmp_path)])
    assert note(nodes, [f"{bundled}/a.jpg", str(tmp_path / "b.jpg")]) is not None
    assert note([], [str(tmp_path)]) is None


def test_the_bundled_parser_knows_english(tmp_path):
    path = tmp_path / "parsed.yaml"
    path.write_text(
        "name: parsed\ncorpus: {root: photos}\nnodes:\n"
        "  captions: {stage: provided, images: images}\n"
        f"  objects: {{stage: parse, captions: captions, model: {DEMO_MODELS / 'parser'}}}\n"
    )
    assert note(load(str(path)).nodes.values(), [str(tmp_path)]) is None
