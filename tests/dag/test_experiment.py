import subprocess
import sys

import pytest
from pydantic import ValidationError

from pipeline.dag.experiment import Experiment
from pipeline.dag.inputs import BASELINES

FULL = {
    "train": " generator = 'gan' and split = 'train' ",
    "validation": None,
    "test": "split = 'test'",
    "test_by": "generator",
    "features": ["global", "local"],
    "head": {"hidden": [512], "epochs": 20},
}


def test_the_dag_files_example_and_its_defaults():
    experiment = Experiment.model_validate(FULL)
    assert experiment.train == "generator = 'gan' and split = 'train'"
    assert experiment.features == ("global", "local")
    assert experiment.head.hidden == (512,)
    assert experiment == Experiment(train=experiment.train, test=experiment.test)
    assert Experiment(train="true").test is None
    assert (experiment.validation, experiment.validation_share) == (None, 0.2)
    assert (experiment.allow_overlap, experiment.sure_at) == (False, 0.95)
    assert (experiment.head.patience, experiment.head.min_delta) == (5, 0.01)
    assert (experiment.head.activation, experiment.head.norm) == ("relu", None)
    assert Experiment(train="true", head={"patience": None}).head.patience is None
    assert (experiment.neighbours, experiment.bootstrap) == ("auto", 1000)
    assert experiment.compare_to == ("linear probe",)


@pytest.mark.parametrize(
    "change",
    [
        {"tests": "split = 'test'"},
        {"train": "  "},
        {"validation": ""},
        {"validation_share": 0},
        {"validation_share": 1},
        {"sure_at": 0.4},
        {"features": []},
        {"features": ["global", "global"]},
        {"features": ["regional"]},
        {"representation": "difference"},
        {"pooling": "max"},
        {"top_k": 0},
        {"phrase_template": "a photo"},
        {"phrase_template": "{} {}"},
        {"test_by": "class_name"},
        {"test_by": []},
        {"test_by": ["variant", "variant"]},
        {"variant": "jpg_50"},
        {"variant": ""},
        {"seed": -1},
        {"neighbours": 0},
        {"bootstrap": -1},
        {"bootstrap": 39},
        {"compare_to": "global + local"},
        {"head": {"hiden": [512]}},
        {"head": {"hidden": [0]}},
        {"head": {"dropout": 1.0}},
        {"head": {"epochs": 0}},
        {"head": {"patience": 0}},
        {"head": {"activation": "softmax"}},
        {"head": {"norm": "batch"}},
        {"head": {"class_weights": "fake"}},
        {"head": {"learning_rate": 0}},
    ],
)
def test_what_cannot_be_meant_is_refused(change):
    with pytest.raises(ValidationError):
        Experiment.model_validate({**FULL, **change})


def test_k_nn_looks_among_enough_for_k():
    assert Experiment.model_validate(FULL).neighbours_among == 20_000
    with pytest.raises(ValidationError, match="neighbours_among is smaller than neighbours"):
        Experiment.model_validate({**FULL, "neighbours": 9, "neighbours_among": 8})


def test_lists_are_a_run_for_each_combination():
    swept = Experiment.model_validate(
        {"train": "true", "seed": [0, 1], "head": {"hidden": [[8], []], "dropout": 0.1}}
    )
    assert swept.sweep == {"seed": (0, 1), "head.hidden": ([8], [])}
    runs = swept.expand()
    assert [(run.head.hidden, run.seed) for run in runs] == [((8,), 0), ((8,), 1), ((), 0), ((), 1)]
    assert {run.head.dropout for run in runs} == {0.1}
    assert runs[1] == Experiment(train="true", seed=1, head={"hidden": [8], "dropout": 0.1})
    assert Experiment.model_validate_json(swept.model_dump_json()) == swept
    named = Experiment.model_validate(
        {"train": "true", "sweep": {"features": [["global"], ["local"]], "head.epochs": [1, 2]}}
    )
    runs = [(run.features, run.head.epochs) for run in named.expand()]
    assert runs == [(("global",), 1), (("global",), 2), (("local",), 1), (("local",), 2)]
    plain = Experiment(train="true", head={"hidden": [16]})
    assert (plain.sweep, plain.expand()) == ({}, [plain])
    assert Experiment(train="true", head={"hidden": []}).expand()[0].head.hidden == ()


def test_configurations_are_what_runs_over_seeds_have_in_common():
    one, other = Experiment.model_validate({"train": "true", "seed": [0, 7]}).expand()
    assert one.configuration == other.configuration == {"train": "true"}
    changed = Experiment(train="true", head={"hidden": [3]})
    assert changed.configuration == {"train": "true", "head": {"hidden": [3]}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": [0, -1]}, r"sweep.seed: .*greater than or equal to 0 \(got -1\)"),
        ({"seed": []}, "seed"),
        ({"head": {"dropout": [0, 2]}}, r"sweep.head.dropout: .*less than 1 \(got 2\)"),
        ({"head": {"hidden": [[2], 3]}}, "head.hidden"),
        ({"sweep": {"head.hiden": [[1]]}}, "did you mean 'head.hidden'"),
        ({"sweep": {"sweep": [{}]}}, "there is no such key"),
        ({"sweep": {"features": []}}, "sweep.features"),
        ({"sweep": {"features": ["regional"]}}, "sweep.features"),
        ({"sweep": [1]}, "sweep"),
    ],
)
def test_sweeps_that_cannot_be_meant_are_refused(change, says):
    with pytest.raises(ValidationError, match=says):
        Experiment.model_validate({"train": "true", **change})


def test_methods_are_the_heads_and_then_the_baselines():
    experiment = Experiment.model_validate(FULL)
    assert experiment.heads == {
        "global": ("global",),
        "local": ("local",),
        "global+local": ("global", "local"),
    }
    assert experiment.methods[:4] == ("global", "local", "global+local", "linear probe")
    assert Experiment(train="true", features=("local",)).methods[:2] == ("local", "linear probe")


def test_what_to_compare_to_is_a_method_of_the_table_or_nothing():
    for given, found in (
        ("global+local", ("global+local",)),
        (["metadata", "local"], ("metadata", "local")),
        *((nothing, ()) for nothing in (None, [])),
    ):
        assert Experiment.model_validate({**FULL, "compare_to": given}).compare_to == found
    with pytest.raises(ValidationError, match="did you mean 'metadata'"):
        Experiment.model_validate({**FULL, "compare_to": "metdata"})
    with pytest.raises(ValidationError, match="no method of the table"):  # local has no head here
        Experiment(train="true", features=("global",), compare_to="local")


def test_it_is_light_to_import():
    code = "import sys, pipeline.dag.experiment; print({'torch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


ALL = {"images", "captions", "objects", "image_embeddings", "text_embeddings", "object_embeddings"}
BARE = {"images", "image_embeddings"}
SAID = {"images", "captions", "text_embeddings"}


@pytest.mark.parametrize(
    ("made", "features", "baselines", "compare_to"),
    [
        (ALL | {"features"}, ("global", "local"), tuple(BASELINES), ("linear probe",)),
        (ALL, ("global", "local"), tuple(BASELINES), ("linear probe",)),
        (BARE, ("image",), ("linear probe", "k-NN", "metadata"), ("linear probe",)),
        (SAID, ("text",), ("caption text", "metadata"), ("caption text",)),
        # captions, and no objects
        (BARE | SAID, ("global",), tuple(BASELINES), ("linear probe",)),
    ],
)
def test_what_is_left_open_becomes_what_the_tables_allow(made, features, baselines, compare_to):
    found = Experiment(train="true").on(made)
    assert (found.features, found.baselines) == (features, baselines)
    assert found.compare_to == compare_to
    assert found.on(made) == found


def test_what_is_named_must_be_possible():
    with pytest.raises(ValueError, match=r"^local needs .* no node makes: features, or object_emb"):
        Experiment(train="true", features=("local",)).on(BARE)
    with pytest.raises(ValueError, match=r"caption text needs .*: captions \+ text_embeddings"):
        Experiment(train="true", baselines=("caption text",)).on(BARE)
    with pytest.raises(ValueError, match="UnivFD needs"):
        Experiment(train="true", foreign={"UnivFD": "x.pth"}).on(SAID)
    with pytest.raises(ValueError, match="scalars needs"):
        swept = {"features": [["global"], ["scalars"]]}
        Experiment(train="true", sweep=swept).on(BARE | SAID)
    with pytest.raises(ValueError, match="global needs"):
        Experiment(train="true", preset="figure5").on(BARE)
    with pytest.raises(ValueError, match="global needs"):  # nothing to train on
        Experiment(train="true").on({"images"})


def test_the_tables_are_those_of_what_is_read():
    plain = Experiment(train="true")
    made = ALL | {"features"}
    assert plain.tables(made) == made - {"objects", "object_embeddings"}
    assert plain.model_copy(update={"pooling": "max_norm"}).tables(made) == made
    only = Experiment(train="true", features=("image",), baselines=("linear probe",))
    assert only.tables(made) == BARE
    assert Experiment(train="true", features=("scalars",), baselines=()).tables(ALL) == {
        *("images", "features")  # not made: training says so
    }


def test_without_the_linear_probe_the_first_baseline_is_compared_to():
    some = Experiment.model_validate({"train": "true", "baselines": ["cosine", "metadata"]})
    assert some.compare_to == ("cosine",)
    assert some.methods == ("global", "local", "global+local", "cosine", "metadata")
    none = Experiment.model_validate({"train": "true", "baselines": []})
    assert none.compare_to == () and none.methods == ("global", "local", "global+local")
    with pytest.raises(ValidationError, match="names cosine twice"):
        Experiment.model_validate({"train": "true", "baselines": ["cosine", "cosine"]})
