import os
import pickle

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.methods.foreign import apply_linear, check, load_linear
from pipeline.head.run import run_experiment
from pipeline.head.vectors.row_reader import InMemory


def saved(path, width=8, seed=0):
    torch.manual_seed(seed)
    layer = torch.nn.Linear(width, 1)
    torch.save(layer.state_dict(), path)
    return layer


def test_probabilities_are_the_layers_on_raw_embeddings(tmp_path):
    layer = saved(tmp_path / "fc.pth")
    raw = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32) * 10
    expected = torch.sigmoid(layer(torch.from_numpy(raw))[:, 0]).detach().numpy()
    found = apply_linear(str(tmp_path / "fc.pth"), "UnivFD", InMemory(raw))
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, abs=1e-6)


def test_it_is_one_more_row_of_the_table(content, store, tmp_path):
    layer = saved(tmp_path / "fc.pth")
    raw = {
        "train": "generator = 'gan' and split = 'train'",
        "test": "split = 'test' and generator <> 'gan'",
        "foreign": {"UnivFD": str(tmp_path / "fc.pth")},
        "head": {"hidden": [4], "epochs": 2, "least_steps": 1},
        "bootstrap": 0,
        "compare_to": "UnivFD",
    }
    made = content()
    experiment = Experiment.model_validate(raw)
    result = run_experiment(store(made), experiment, "x", tmp_path / "runs", {})
    assert pc.unique(result.metrics["method"]).to_pylist()[-1] == "UnivFD"
    tested = pq.read_table(result.folder / "predictions.parquet")
    rows = tested.filter(pc.equal(tested["method"], "UnivFD")).to_pylist()
    for row in rows[::7]:
        i = int(row["image_id"], 16)
        stored = made.features["embedding"][i].astype(np.float16).astype(np.float32)
        x = torch.from_numpy(stored * np.float32(made.features["norm"][i]))
        expected = torch.sigmoid(layer(x)).item()
        assert row["probability"] == pytest.approx(expected, abs=1e-5)
    saved(tmp_path / "fc.pth", seed=1)  # other weights at the same path are another run
    other = run_experiment(store(made), experiment, "x", tmp_path / "runs", {})
    assert other.run_id != result.run_id
    (tmp_path / "moved.pth").write_bytes((tmp_path / "fc.pth").read_bytes())
    moved = experiment.model_copy(update={"foreign": {"UnivFD": str(tmp_path / "moved.pth")}})
    assert run_experiment(store(made), moved, "x", tmp_path / "runs", {}).run_id == other.run_id


def test_other_widths_are_named(tmp_path):
    saved(tmp_path / "fc.pth", 768)
    with pytest.raises(UserError, match=r"'UnivFD' reads 768 numbers .* have 512"):
        apply_linear(str(tmp_path / "fc.pth"), "UnivFD", InMemory(np.zeros((2, 512), np.float32)))


W, B = torch.ones(1, 3), torch.zeros(1)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (
            torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(),
            "holds 0.weight [2, 2], 0.bias [2]",
        ),
        (torch.nn.Linear(4, 2).state_dict(), "weight is [2, 4]"),
        ({"weight": W, "bias": torch.zeros(())}, "bias is []"),
        ({"weight": W[0], "bias": B}, "weight is [3]"),
        ({"weight": W * float("nan"), "bias": B}, "weight is not finite everywhere"),
        ({"weight": W, "bias": B + float("inf")}, "bias is not finite everywhere"),
        ({"weight": W.to(torch.complex64), "bias": B}, "weight is of complex64"),
        ({"weight": W.long(), "bias": B}, "weight is of int64"),
        ({"weight": W.to_sparse(), "bias": B}, "weight is not dense (sparse_coo)"),
        ({"weight": W.to("meta"), "bias": B}, "weight is a tensor without values (device meta)"),
        ({"weight": [1.0], "bias": B}, "weight is a list"),
        ({"weight": W}, "holds weight [1, 3]"),
        ({str(n): B for n in range(156)}, "holds 0 [1], 1 [1], 2 [1], 3 [1] and 152 more"),
        ([B] * 156, "holds a list of 156"),
        (W, "holds a Tensor"),
        ({}, "holds nothing"),
    ],
)
def test_what_is_no_linear_head_is_refused_in_one_line(tmp_path, state, why):
    path = tmp_path / "fc.pth"
    torch.save(state, path)
    with pytest.raises(UserError) as error:
        load_linear(str(path))
    assert error.value.what.endswith(why) and "\n" not in error.value.what
    assert error.value.where == str(path) and "weights_only" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"PK\x03\x04" + bytes(90)])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "fc.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^this is no file of tensors alone") as error:
        load_linear(str(path))
    assert error.value.__cause__ is None and "weights_only" not in str(error.value)


def test_a_head_that_was_saved_while_it_was_trained_is_read(tmp_path):
    weight = torch.ones(1, 3, dtype=torch.bfloat16, requires_grad=True)
    torch.save({"weight": weight, "bias": torch.nn.Parameter(B)}, tmp_path / "fc.pth")
    found, bias = load_linear(str(tmp_path / "fc.pth"))
    assert (found.tolist(), bias) == ([1.0, 1.0, 1.0], 0.0)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    path = tmp_path / "fc.pth"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(UserError, match="no file of tensors"):
        load_linear(str(path))


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fc.pth")
    for path in (tmp_path, tmp_path / "fc.pth"):
        with pytest.raises(UserError, match="'UnivFD' cannot be read: it is no file"):
            check({"UnivFD": str(path)})


def test_nothing_is_said_beside_the_error(tmp_path, recwarn):
    path = tmp_path / "fc.pth"
    torch.save({"weight": torch.ones(1, 8).to_sparse(), "bias": torch.zeros(1)}, path)
    recwarn.clear()
    with pytest.raises(UserError, match="not dense"):
        check({"UnivFD": str(path)})
    assert not recwarn.list


def test_missing_files_and_taken_names(content, store, tmp_path):
    experiment = Experiment(
        train="generator = 'gan'", test="generator = 'vae'", foreign={"UnivFD": "nowhere.pth"}
    )
    with pytest.raises(UserError, match="'UnivFD' cannot be read: No such file"):
        run_experiment(store(content()), experiment, "x", tmp_path, {})
    with pytest.raises(ValueError, match="cosine is a baseline's name"):
        Experiment(train="true", foreign={"cosine": "fc.pth"})
    with pytest.raises(ValueError, match="two methods are called global"):
        Experiment(train="true", foreign={"global": "fc.pth"})
    there = Experiment.model_validate(
        {"train": "true", "foreign": {"UnivFD": "fc.pth"}}, context={"base": tmp_path}
    )
    assert there.foreign == {"UnivFD": str(tmp_path / "fc.pth")}
