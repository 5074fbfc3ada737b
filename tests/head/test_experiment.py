import subprocess
import sys

import pytest
from pydantic import ValidationError

from pipeline.head.experiment import Experiment

FULL = {
    "train": " generator = 'gan' and split = 'train' ",
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


@pytest.mark.parametrize(
    "change",
    [
        {"tests": "split = 'test'"},
        {"train": "  "},
        {"features": []},
        {"features": ["global", "global"]},
        {"features": ["regional"]},
        {"test_by": "class_name"},
        {"seed": -1},
        {"head": {"hiden": [512]}},
        {"head": {"hidden": [0]}},
        {"head": {"dropout": 1.0}},
        {"head": {"epochs": 0}},
        {"head": {"learning_rate": 0}},
    ],
)
def test_what_cannot_be_meant_is_refused(change):
    with pytest.raises(ValidationError):
        Experiment.model_validate({**FULL, **change})


def test_it_is_light_to_import():
    code = "import sys, pipeline.head.experiment; print({'torch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
