"""Fingerprints change when, and only when, something that decides the output changes."""

import json

import pytest

from pipeline.dag.graph import load, read
from pipeline.errors import UserError


def fingerprints(path, *overrides):
    return {name: node.fingerprint for name, node in load(str(path), list(overrides)).nodes.items()}


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


DOWNSTREAM_OF_CAPTIONS = {
    "captions",
    "objects",
    "regions",
    "text_embeddings",
    "object_embeddings",
    "misalignment",
    "features",
}


def test_a_parameter_changes_its_node_and_what_hangs_below(write_dag, fake_models):
    path = write_dag(models=fake_models)
    before = fingerprints(path)
    assert changed(before, fingerprints(path)) == set()
    beams = fingerprints(path, "captions.num_beams=1")
    assert changed(before, beams) == DOWNSTREAM_OF_CAPTIONS
    assert "image_embeddings" not in DOWNSTREAM_OF_CAPTIONS


def test_speed_settings_and_part_size_change_nothing(write_dag, fake_models):
    path = write_dag(models=fake_models)
    tuned = fingerprints(
        path, "captions.batch_size=3", "corpus.part_size=2", "image_embeddings.batch_size=9"
    )
    assert changed(fingerprints(path), tuned) == set()


def test_a_model_is_known_by_its_content_not_its_place(write_dag, fake_models):
    path = write_dag(models=fake_models)
    before = fingerprints(path)
    moved = fake_models.parent / "moved"
    fake_models.rename(moved)
    assert changed(before, fingerprints(write_dag(models=moved))) == set()
    (moved / "parser" / "weights.txt").write_text("retrained")
    after = fingerprints(write_dag(models=moved))
    assert changed(before, after) == DOWNSTREAM_OF_CAPTIONS - {"captions"}


@pytest.mark.parametrize("setting", ["limit=3", "root=/other", "layout=unlabelled", "dataset=x"])
def test_nothing_of_the_corpus_is_in_what_is_computed(write_dag, fake_models, setting):
    path = write_dag(models=fake_models)
    before = fingerprints(path)
    assert changed(before, fingerprints(path, f"corpus.{setting}")) == {"listing"}


def test_nodes_come_in_topological_order(write_dag, fake_models):
    dag = load(str(write_dag(models=fake_models)))
    order = list(dag.nodes)
    assert order[:2] == ["listing", "images"]
    for node in dag.nodes.values():
        assert all(order.index(source) < order.index(node.name) for source in node.inputs.values())
    assert [n.name for n in dag.upstream("objects")] == ["listing", "images", "captions", "objects"]


def test_a_draft_up_to_a_node_has_what_that_needs():
    draft = read("demo")
    assert list(draft.up_to("objects").nodes) == ["captions", "objects"]
    needed = ["captions", "objects", "regions", "object_embeddings"]
    assert list(draft.up_to("object_embeddings").nodes) == needed
    assert draft.up_to("listing").nodes == {}
    assert draft.up_to(None) is draft


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("captions.stage=captoin", "did you mean 'caption'"),
        ("captions.nmu_beams=1", "unknown key 'nmu_beams': did you mean 'num_beams'"),
        ("objects.captions=captionz", "did you mean 'captions'"),
        ("objects.captions=image_embeddings", "makes the table image_embeddings"),
        ("captions.num_beams=many", "num_beams"),
        ("captions.model=./nowhere", "nowhere"),
        ("captions.model=./nowhere", "nodes.captions"),
        ("captions.stage=[caption]", "there is no stage '[caption]'"),
        ("captions.images=[images]", "is no node"),
        ("nodes=5", "there is no ''"),
        ("cluster.workers=-1", "cluster.workers"),
    ],
)
def test_bad_nodes_are_explained(write_dag, fake_models, override, message):
    with pytest.raises(UserError) as error:
        load(str(write_dag(models=fake_models)), [override])
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["receipts", "runs", "misalignment_by_image", "regions"])
def test_a_node_cannot_take_the_name_of_another_view(write_dag, fake_models, name):
    path = write_dag(models=fake_models)
    path.write_text(
        path.read_text().replace(
            "nodes:\n", f"nodes:\n  {name}: {{stage: parse, captions: captions, model: x}}\n", 1
        )
    )
    with pytest.raises(UserError, match=r"is the name of another view|is given twice"):
        load(str(path))


def test_a_missing_input_is_named(write_dag, fake_models):
    path = write_dag(models=fake_models)
    text = path.read_text().replace("    objects: objects\n", "", 1)
    path.write_text(text)
    with pytest.raises(UserError, match="needs the input objects"):
        load(str(path))


def test_a_cycle_is_shown(write_dag, fake_models):
    path = write_dag(models=fake_models)
    dag = path.read_text().replace("captions: captions", "captions: captions_b", 1)
    dag += "\n"
    dag = dag.replace(
        "nodes:\n",
        "nodes:\n  captions_b: {stage: parse, captions: objects, model: x}\n",
        1,
    )
    path.write_text(dag)
    with pytest.raises(UserError, match="form a cycle: "):
        load(str(path))


def test_embeddings_of_two_clips_are_not_compared(write_dag, fake_models):
    """Said when the file is read, not after days of computing both."""
    other = fake_models / "other"
    other.mkdir()
    (other / "weights.txt").write_text("another CLIP")
    path = str(write_dag(models=fake_models))
    with pytest.raises(UserError, match=r"'image_embeddings' and 'text_embeddings' come from") as e:
        load(path, [f"text_embeddings.clip.model=local-dir:{other}"])
    assert e.value.where.endswith("nodes.misalignment")
    assert "same `clip`" in e.value.hint
    both = [f"{n}.clip.model=local-dir:{other}" for n in ("image_embeddings", "text_embeddings")]
    assert load(path, [*both, f"object_embeddings.clip.model=local-dir:{other}"])
    # how fast a model is to run is no other space
    assert load(path, ["text_embeddings.clip.device=cpu"])


def test_phrases_are_looked_for_where_they_were_embedded(write_dag, fake_models):
    path = write_dag(models=fake_models)
    template = "text_embeddings.phrase_template=a {}"
    with pytest.raises(UserError, match=r"'text_embeddings' embeds phrases as 'a \{\}', and") as e:
        load(str(path), [template])
    assert e.value.where.endswith("nodes.misalignment.phrase_template")
    both = [f"{node}.phrase_template=a {{}}" for node in ("misalignment", "features")]
    assert load(str(path), [template, *both])
    text = path.read_text()
    start = text.index("  text_embeddings:")
    path.write_text(text[:start] + text[start:].replace("    objects: objects\n", "", 1))
    with pytest.raises(UserError, match="'text_embeddings' embeds no phrases") as e:
        load(str(path))
    assert e.value.where.endswith("nodes.misalignment")


def test_experiments_are_bound_to_what_the_nodes_make(write_dag, fake_models):
    path = write_dag(models=fake_models)
    text = path.read_text()
    clip = f"{{model: 'local-dir:{fake_models / 'clip'}'}}"
    nodes = f"nodes:\n  seen: {{stage: embed_images, images: images, clip: {clip}}}\n"
    text = text[: text.index("nodes:")] + nodes
    path.write_text(f"{text}experiments:\n  x: {{train: 'true'}}\n")
    experiment = load(str(path)).experiments["x"]
    assert experiment.features == ("image",)
    assert experiment.methods == ("image", "linear probe", "k-NN", "metadata")
    with pytest.raises(UserError, match="local needs tables that no node makes") as e:
        load(str(path), ["experiments.x.features=[local]"])
    assert e.value.where == f"{path}: experiments.x"


def test_a_dag_may_embed_captions_without_objects(write_dag, fake_models):
    path = write_dag(models=fake_models)
    text = path.read_text()
    clip = f"{{model: 'local-dir:{fake_models / 'clip'}'}}"
    nodes = (
        "nodes:\n"
        f"  captions: {{stage: caption, images: images, model: {fake_models / 'captioner'}}}\n"
        f"  said: {{stage: embed_texts, captions: captions, clip: {clip}}}\n"
    )
    path.write_text(text[: text.index("nodes:")] + nodes)
    assert load(str(path)).nodes["said"].inputs == {"captions": "captions"}


def test_a_probe_is_of_a_node_that_makes_image_embeddings(write_dag, fake_models):
    path = write_dag(models=fake_models)
    clip = f"{{model: 'local-dir:{fake_models / 'clip'}'}}"
    node = f"nodes:\n  other one: {{stage: embed_images, images: images, clip: {clip}}}\n"
    text = path.read_text().replace("nodes:\n", node, 1)
    path.write_text(f"{text}experiments:\n  x: {{train: 'true', probes: {{B: other one}}}}\n")
    experiment = load(str(path)).experiments["x"]
    assert experiment.methods[-2:] == ("cosine", "linear probe of B")
    assert experiment.tables({"images"}) >= {"images", "other one"}
    with pytest.raises(UserError, match="'captions' is no node that makes image_embeddings"):
        load(str(path), ["experiments.x.probes={B: captions}"])


def test_recipes_are_what_a_store_reads_back():
    """Else `plan` would say of a parameter that is the same that it has changed."""
    for node in load("demo").nodes.values():
        assert json.loads(json.dumps(node.recipe)) == node.recipe, node.name
