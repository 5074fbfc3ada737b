import pickle

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.methods.foreign import apply_linear, load_linear
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
        "head": {"hidden": [4], "epochs": 2},
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


def test_what_is_no_linear_head_is_refused(tmp_path):
    path = tmp_path / "fc.pth"
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(), path)
    with pytest.raises(UserError, match=r"weight \[1, width\] and bias \[1\], and this file has"):
        load_linear(str(path))
    torch.save(torch.nn.Linear(4, 2).state_dict(), path)
    with pytest.raises(UserError, match=r"'weight': \[2, 4\]"):
        load_linear(str(path))
    path.write_bytes(b"not tensors")
    with pytest.raises(UserError, match="no file of tensors"):
        load_linear(str(path))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    path = tmp_path / "fc.pth"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(UserError, match="no file of tensors"):
        load_linear(str(path))


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
