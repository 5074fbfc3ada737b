from pathlib import Path

import pytest

from pipeline.dag import file as config
from pipeline.dag import graph
from pipeline.dag.cluster import Local
from pipeline.errors import UserError
from pipeline.shipped import folder

MINIMAL = """
name: small
corpus: {root: pictures, layout: forensynths}
nodes:
  captions: {stage: caption, images: images, model: ../m}
  other: {stage: embed_images, images: images, clip: &clip {model: a}}
  third: {stage: embed_images, images: images, clip: *clip}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(MINIMAL)
    return path


def test_a_file_of_this_folder_is_meant_rather_than_a_shipped_one(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    with pytest.raises(UserError) as caught:
        config.find("small")
    assert caught.value.hint == "did you mean small.yaml?"


def test_paths_in_the_file_are_relative_to_the_file(file):
    assert config.read(file).corpus.root == str(file.parent / "pictures")


def test_paths_on_the_command_line_are_relative_to_the_current_folder(file, tmp_path, monkeypatch):
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    read = config.read(file, ["corpus.root=photos", "captions.model=./mine", "corpus.limit=7"])
    assert read.corpus.root == str(here / "photos")
    assert read.nodes["captions"]["model"] == str(here / "mine")
    assert read.corpus.limit == 7


def test_a_pattern_goes_with_the_layout_regex(file):
    pattern = "corpus.pattern=(?P<label>real|fake)/.*"
    read = config.read(file, ["corpus.layout=regex", pattern])
    assert read.corpus.reading.labels("fake/a.png").label == 1
    for overrides, message in {
        ("corpus.layout=regex",): "the layout regex needs a `pattern`",
        (pattern,): "a `pattern` is for the layout regex, not for forensynths",
        ("corpus.layout=regex", "corpus.pattern=(?P<lable>a)"): "corpus.pattern: there is no "
        "group 'lable': did you mean 'label'",
        ("corpus.layout=regex", "corpus.pattern=(?P<label>a"): "corpus.pattern: Invalid regular",
        ("corpus.layout=folder",): "corpus.layout: there is no layout 'folder': it is called "
        "'unlabelled' now",
    }.items():
        with pytest.raises(UserError) as caught:
            config.read(file, list(overrides))
        assert message in caught.value.what and caught.value.where == str(file)


def test_an_override_does_not_leak_through_a_yaml_anchor(file):
    read = config.read(file, ["other.clip.model=b", "nodes.captions.num_beams=1"])
    assert read.nodes["other"]["clip"] == {"model": "b"}
    assert read.nodes["third"]["clip"] == {"model": "a"}
    assert read.nodes["captions"]["num_beams"] == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("captions.num_beams", "expected key.path=value"),
        ("captoins.num_beams=1", "did you mean 'captions'"),
        ("corpus.rot=x", "unknown key 'corpus.rot': did you mean 'root'"),
        ("corpus.part_size=0", "corpus.part_size"),
        ("captions.model.x=1", "'model' is a value"),
        ("corpus.variants=[", "not valid YAML"),
    ],
)
def test_bad_overrides_are_explained(file, override, message):
    with pytest.raises(UserError) as error:
        config.read(file, [override])
    assert message in str(error.value)


def test_a_mapping_may_merge_an_anchor(file):
    merged = "  fourth: {<<: *clip, stage: embed_images, images: images}\n"
    file.write_text(MINIMAL + merged)
    assert config.read(file).nodes["fourth"]["model"] == "a"


def test_bad_files_are_explained(file):
    cases = {
        "a: [": "not valid YAML",
        "just text": "a DAG file is a mapping",
        MINIMAL + "naem: x": "unknown key 'naem': did you mean 'name'",
        MINIMAL + "name: again": "the key 'name' is given twice",
        "name: a b\nnodes: {}\ncorpus: {root: x}": "name:",
        "name: a\nnodes: {}\ncorpus: {}": "the key 'corpus.root' is missing",
    }
    for text, message in cases.items():
        file.write_text(text)
        with pytest.raises(UserError) as error:
            config.read(file)
        assert message in str(error.value)
        assert error.value.where is None or str(file) in str(error.value)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{test: [jpg_50]}", "corpus.variants: test: there is no variant 'jpg_50': did you mean"),
        ("{test: figure5}", "test: there is no variant or preset 'figure5'"),
        ("{tset: figure4}", "there is no split 'tset': did you mean 'test'"),
        ("{test: figure4, all: [blur_1]}", "blur_1 of 'test' is in 'all' already"),
        ("{test: 50}", "test: a list of variants, or the name of a preset"),
        ("figure4", "corpus.variants: Input should be a valid dictionary"),
    ],
)
def test_wrong_variants_are_said_with_file_and_key(file, given, why):
    file.write_text(MINIMAL)
    with pytest.raises(UserError) as error:
        config.read(file, [f"corpus.variants={given}"])
    assert why in error.value.what and error.value.where == str(file)


def test_variants_know_the_splits_that_want_them_in_the_files_order(file):
    file.write_text(MINIMAL)
    given = "corpus.variants={test: [jpeg_50, blur_1], val: [blur_1], all: [resize_0.5+jpeg_75]}"
    corpus = config.read(file, [given, "corpus.variant_share=0.25"]).corpus
    assert corpus.splits_of == {
        "jpeg_50": ("test",),
        "blur_1": ("test", "val"),
        "resize_0.5+jpeg_75": ("all",),
    }
    assert len(config.read(file, ["corpus.variants={test: figure4}"]).corpus.splits_of) == 9
    for share in ("0", "1.5"):
        with pytest.raises(UserError, match=r"corpus\.variant_share"):
            config.read(file, [f"corpus.variant_share={share}"])


def test_an_unknown_dag_names_the_shipped_ones(tmp_path):
    with pytest.raises(UserError, match="did you mean 'demo'"):
        config.find("dem")
    with pytest.raises(UserError, match="shipped DAGs: demo"):
        config.find(str(tmp_path / "none.yaml"))
    assert config.find("demo").name == "demo.yaml"


def test_a_dag_of_the_home_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert config.find(f"~/{file.name}") == file
    with pytest.raises(UserError, match=r"there is no DAG file ~no_such_user/x\.yaml"):
        config.find("~no_such_user/x.yaml")


@pytest.mark.parametrize("given", ["my photos", "./my photos", "my photos/"])
def test_a_folder_of_images_is_given_to_init(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    with pytest.raises(UserError, match="a folder is no DAG file") as caught:
        config.find(given)
    assert caught.value.hint == "`item init 'my photos'` makes a DAG file of the images in it"
    (tmp_path / "my photos.yaml").write_text("")
    with pytest.raises(UserError, match="no shipped DAG") as caught:
        config.find("my photos")
    assert caught.value.hint == "did you mean my photos.yaml?"


def test_a_cluster_is_this_machine_unless_it_says_otherwise(file):
    assert config.read(file).cluster == Local()
    assert config.read(file, ["cluster.gpus=2", "cluster.cpu_workers=0"]).cluster == Local(
        gpus=2, cpu_workers=0
    )
    read = config.read(file, ["cluster={kind: ssh, hosts: [a, b], gpus: 4, folder: keys}"]).cluster
    assert (read.kind, read.hosts, read.gpus, read.workers) == ("ssh", ("a", "b"), 4, 8)
    slurm = config.read(file, ["cluster={kind: slurm, gpu_workers: 0, cpu_workers: 5}"]).cluster
    assert (slurm.kind, slurm.workers, slurm.walltime) == ("slurm", 5, "04:00:00")


def test_the_folder_of_keys_is_relative_to_the_file(file):
    given = "\ncluster: {kind: slurm, folder: keys}\n"
    file.write_text(MINIMAL + given)
    assert config.read(file).cluster.folder == str(file.parent / "keys")
    file.write_text(MINIMAL + given.replace("keys", "~/item"))
    assert config.read(file).cluster.folder == str(Path.home() / "item")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{kind: slrum}", "cluster: there is no kind 'slrum': did you mean 'slurm'?"),
        ("{gpu: 1}", "unknown key 'cluster.gpu': did you mean 'gpus'?"),
        ("{kind: slurm, quue: x}", "unknown key 'cluster.quue': did you mean 'queue'?"),
        ("{kind: slurm, workers: 2}", "unknown key 'cluster.workers': did you mean"),
        ("{kind: slurm, walltime: 12:00:00}", "cluster.walltime: write it in quotes, such as"),
        ("{kind: slurm, gpu_workers: 0, cpu_workers: 0}", "gpu_workers and cpu_workers are both 0"),
        ("{kind: slurm, queue: 'a; rm b'}", "cluster.queue: String should match"),
        ("{kind: ssh}", "the key 'cluster.hosts' is missing"),
        ("{kind: ssh, hosts: []}", "cluster.hosts: Tuple should have at least 1 item"),
        ("{workers: 0}", "cluster.workers: expected auto, or a number of at least 1 (got 0)"),
        ("{gpus: many}", "cluster.gpus: expected auto, or a number of at least 0 (got 'many')"),
        ("{gpus: true}", "cluster.gpus: expected auto, or a number of at least 0 (got True)"),
        ("2", "cluster: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_cluster_is_said_with_file_and_key(file, given, why):
    with pytest.raises(UserError) as error:
        config.read(file, [f"cluster={given}"])
    assert why in error.value.what and error.value.where == str(file)


@pytest.mark.parametrize("path", sorted(folder("dags").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_dag_is_valid_and_bears_its_files_name(path):
    assert graph.read(path.stem).file.name == path.stem


def test_the_examples_of_clusters_compute_what_the_demo_does():
    demo, *others = (config.read(folder("dags") / f"{n}.yaml") for n in ("demo", "slurm", "ssh"))
    for other in others:
        assert (other.nodes, other.corpus) == (demo.nodes, demo.corpus)
    assert [other.cluster.kind for other in others] == ["slurm", "ssh"]
