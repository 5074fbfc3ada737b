import numpy as np
import torch

from pipeline.head.vectors.row_reader import InMemory, moments


def test_an_epoch_in_memory_is_a_permutation_of_torchs():
    x = np.arange(30, dtype=np.float32).reshape(10, 3)
    torch.manual_seed(3)
    batches = [(part.clone(), rows) for part, rows in InMemory(x).epoch(4)]
    torch.manual_seed(3)
    order = torch.randperm(10)
    assert torch.equal(torch.cat([rows for _, rows in batches]), order)
    assert [len(rows) for _, rows in batches] == [4, 4, 2]
    assert all(torch.equal(part, torch.from_numpy(x)[rows]) for part, rows in batches)


def test_blocks_and_rows(monkeypatch):
    monkeypatch.setattr("pipeline.head.vectors.row_reader.BLOCK", 4)
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    source = InMemory(x)
    assert [len(block) for block in source.blocks()] == [4, 4, 2]
    assert np.array_equal(torch.cat(list(source.blocks())).numpy(), x)
    assert np.array_equal(source.at(np.array([1, 7])).numpy(), x[[1, 7]])
    assert (len(source), source.width, source.order.tolist()) == (10, 2, list(range(10)))


def test_moments_are_those_of_the_population():
    x = np.array([[1, 5], [3, 5]], np.float32)
    mean, std = moments(InMemory(x))
    assert (mean.tolist(), std.tolist()) == ([2, 5], [1, 0])
