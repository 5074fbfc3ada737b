import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from pipeline.errors import UserError
from pipeline.head.vectors import stream
from pipeline.head.vectors.row_reader import InMemory, moments
from pipeline.head.vectors.stream import Column, Streamed, least_bytes

ROWS, BATCH = 80_011, 128  # in 1251 blocks, the last one short


@pytest.fixture
def made(tmp_path):
    """A source of two columns in files, as mixed as the least memory allows; and its matrix."""
    rng = np.random.default_rng(0)
    parts = [
        rng.standard_normal((ROWS, 8)).astype(np.float16),
        rng.standard_normal((ROWS, 3)).astype(np.float32),
    ]
    columns = []
    for number, x in enumerate(parts):
        x.tofile(tmp_path / str(number))
        columns.append(Column(tmp_path / str(number), ROWS, x.shape[1], x.dtype))
    memory = least_bytes(sum(column.row_bytes for column in columns), ROWS, BATCH)
    x = np.concatenate([part.astype(np.float32) for part in parts], axis=1)
    return Streamed(columns, np.arange(ROWS), memory), x


def epoch(source, seed=0):
    """The numbers of an epoch's rows, in their order; their values are looked at."""
    torch.manual_seed(seed)
    numbers = []
    for x, rows in source.epoch(BATCH):
        numbers.append(rows.clone())
        assert x.shape == (len(rows), source.width)
    return torch.cat(numbers).numpy()


def test_blocks_are_the_rows_in_order(made):
    source, x = made
    blocks = [block.numpy().copy() for block in source.blocks()]
    assert len(blocks) == 20
    assert np.array_equal(np.concatenate(blocks), x)
    assert (len(source), source.width) == x.shape


def test_each_row_comes_once_an_epoch_with_its_own_values(made):
    source, x = made
    torch.manual_seed(0)
    seen, sizes = [], []
    for batch, rows in source.epoch(BATCH):
        assert np.array_equal(batch.numpy(), x[rows.numpy()])
        seen += rows.tolist()
        sizes.append(len(rows))
    assert len(source._fills(BATCH)) == 5  # several buffers
    assert sorted(seen) == list(range(ROWS))
    assert sizes == [BATCH] * (ROWS // BATCH) + [ROWS % BATCH]


def test_order_in_the_files_says_nothing_of_order_in_an_epoch(made):
    """On a sorted store: neighbours in the files, labels in runs."""
    source, _ = made
    found, spread = [], []
    for seed in range(20):
        order = epoch(source, seed)
        label = (order >= ROWS // 2).astype(float)  # all reals, then all fakes
        label -= label.mean()
        next_to = [(label[lag:] * label[:-lag]).mean() / label.var() for lag in (1, 10, 1000)]
        found.append([spearmanr(np.arange(ROWS), order)[0], *next_to])
        # what leaves together: as many fakes as chance has it, give or take
        shares = (order >= ROWS // 2)[: ROWS // BATCH * BATCH].reshape(-1, BATCH).mean(axis=1)
        spread.append(shares.std())
        assert (np.abs(np.diff(order)) == 1).mean() < 0.001
    # 1251 blocks in random order: 1 / sqrt(1251) = 0.028 is one standard deviation
    assert np.abs(found).max() < 0.1
    assert np.abs(np.mean(found, axis=0)).max() < 0.02
    assert np.mean(spread) < 1.3 * 0.5 / np.sqrt(BATCH)


def test_epochs_differ_and_the_same_seed_gives_the_same(made):
    source, _ = made
    first, same, other = epoch(source, 1), epoch(source, 1), epoch(source, 2)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_one_buffer_is_enough_for_few_rows(made):
    source, x = made
    few = Streamed([Column(c.path, 100, c.width, c.dtype) for c in source.columns], x[:100, 0], 0)
    torch.manual_seed(0)
    rows = torch.cat([rows.clone() for _, rows in few.epoch(64)])
    assert sorted(rows.tolist()) == list(range(100))


def test_some_rows(made):
    source, x = made
    rows = np.array([0, 1, 4095, 4096, 9000, ROWS - 1])
    assert np.array_equal(source.at(rows).numpy(), x[rows])


def test_moments_are_those_in_memory(made):
    source, x = made
    for streamed, held in zip(moments(source), moments(InMemory(x)), strict=True):
        assert torch.allclose(streamed, held, atol=1e-6)


def test_rows_of_an_odd_number_of_bytes_are_read_too(tmp_path):
    x = np.arange(15, dtype=np.float16).reshape(5, 3)
    x.tofile(tmp_path / "x")
    source = Streamed([Column(tmp_path / "x", 5, 3, x.dtype)], np.arange(5), 0)
    assert all(np.array_equal(batch.numpy(), x[rows.numpy()]) for batch, rows in source.epoch(2))


def test_a_file_that_was_cut_short_is_an_error(made, tmp_path):
    source, _ = made
    source.columns[0].path.write_bytes(b"short")
    for read in (source.blocks, lambda: source.epoch(BATCH)):
        with pytest.raises(UserError, match="cut short"):
            list(read())


def test_more_memory_mixes_more_at_a_time(made):
    source, _ = made
    source.memory *= 2
    assert len(source._fills(BATCH)) == 3
    source.memory *= 1000
    assert len(source._fills(BATCH)) == 1
    assert stream.least_bytes(10, 100, 28) == 2 * 10 * 128
