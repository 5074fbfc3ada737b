import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.models.detectors.base import Sought
from pipeline.stages.shared import batching
from pipeline.stages.shared.batching import NOT_FINITE, Limit, Vectors, settled


class Adapter:
    """A loaded model, as far as batches care."""


def infer(items, size, adapter, model, errors, **options):
    return batching.infer(items, Limit(adapter, size, "images"), model, errors, **options)


def _items(count, broken=()):
    for row in range(count):
        if row in broken:
            yield row, None, f"broken {row}"
        else:
            yield row, Image.new("RGB", (row + 1, 1)), None


def test_every_image_goes_through_once_and_in_order():
    sizes = []

    def model(images):
        sizes.append(len(images))
        return [image.width for image in images]

    errors = [None] * 10
    found = list(infer(_items(10, broken={0, 4, 5}), 4, Adapter(), model, errors))
    assert found == [(row, row + 1) for row in (1, 2, 3, 6, 7, 8, 9)]
    assert [row for row, error in enumerate(errors) if error] == [0, 4, 5]
    assert errors[4] == "broken 4"
    assert max(sizes) <= 4


def test_no_more_items_are_taken_than_two_batches_hold():
    taken = []

    def items():
        for item in _items(9):
            taken.append(item[0])
            yield item

    first = next(infer(items(), 3, Adapter(), lambda images: images, [None] * 9))
    assert first[0] == 0
    assert taken == [0, 1, 2, 3, 4, 5]  # one batch runs while the next is collected


def test_a_batch_of_broken_images_never_reaches_the_model():
    errors, items = [None] * 3, _items(3, broken={0, 1, 2})
    assert list(infer(items, 2, Adapter(), lambda images: 1 / 0, errors)) == []
    assert errors == ["broken 0", "broken 1", "broken 2"]


def test_vectors_that_are_not_finite_are_failed_rows():
    vectors = Vectors(4, 2)
    vectors.put(0, np.float32([0.6, 0.8]), np.float32(5))
    vectors.put(1, np.float32([np.nan, 0]), np.float32(1))
    columns = vectors.columns([None, None, "cannot decode", None], np.array([1, 1, 1, 0], bool))
    assert columns["error"].to_pylist() == [None, NOT_FINITE, "cannot decode", None]
    assert columns["embedding"].is_valid().to_pylist() == [True, False, False, False]
    assert columns["embedding"][0].as_py() == [np.float16(0.6), np.float16(0.8)]
    assert columns["norm"].to_pylist() == [5, None, None, None]


def test_large_images_go_through_in_smaller_batches():
    """Memory must not grow with the images: 12 megapixels each, at most 32 in a batch."""
    big = Image.new("RGB", (4000, 3000))
    sizes = []

    def model(images):
        sizes.append(len(images))
        return images

    items = [(row, big, None) for row in range(5)]
    assert [row for row, _ in infer(items, 64, Adapter(), model, [None] * 5)] == list(range(5))
    assert sizes == [2, 2, 1]


def _small(fits, sizes):
    """A model that has memory for `fits` items at a time."""

    def model(batch):
        if len(batch) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sizes.append(len(batch))
        return [item.width for item in batch]

    return model


def test_out_of_memory_halves_the_batch_and_is_remembered():
    adapter, sizes = Adapter(), []
    found = list(infer(_items(20), 16, adapter, _small(5, sizes), [None] * 20))
    assert found == [(row, row + 1) for row in range(20)]
    assert sizes == [4, 4, 4, 4, 4]
    sizes.clear()
    list(infer(_items(9), "auto", adapter, _small(5, sizes), [None] * 9))
    assert sizes == [4, 4, 1]  # the model keeps its limit, another one has its own
    assert len(list(infer(_items(9), 9, Adapter(), lambda batch: batch, [None] * 9))) == 9


def test_out_of_memory_with_a_single_item_is_an_error():
    with pytest.raises(UserError, match="out of memory with a single item") as failure:
        list(infer(_items(3), 2, Adapter(), _small(0, []), [None] * 3))
    assert "2.00 GiB" in failure.value.where
    assert "precision" in failure.value.hint


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_single_item_without_memory_for_it_costs_no_other(place):
    sizes = []

    def model(batch):
        if place + 1 in (widths := [item.width for item in batch]):
            raise MemoryError
        sizes.append(len(batch))
        return widths

    errors = [None] * 20
    found = list(infer(_items(20), 8, Adapter(), model, errors))
    assert found == [(row, row + 1) for row in range(20) if row != place]
    why = "transient: out of memory with nothing else at hand: it was not said for how much"
    assert errors == [why if row == place else None for row in range(20)]
    assert sizes[-2:] == [8, 4]  # and batches are as large as before


def test_batches_are_bounded_by_what_images_are_padded_to():
    ribbon = Sought(Image.new("RGB", (4000, 40)), ("a ball",))
    sizes = []

    def model(batch):
        sizes.append(len(batch))
        return batch

    list(infer([(row, ribbon, None) for row in range(5)], 64, Adapter(), model, [None] * 5))
    assert sizes == [2, 2, 1]


def test_any_other_error_of_the_model_passes_through():
    def model(batch):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        list(infer(_items(3), 2, Adapter(), model, [None] * 3))


def test_rows_that_share_an_item_share_its_result_and_its_error():
    vectors, errors = Vectors(4, 1), np.full(4, None, object)
    items = [(np.array([0, 2]), Image.new("RGB", (3, 1)), None), (np.array([1, 3]), None, "lost")]
    model = lambda batch: [(np.float32([item.width]), np.float32(1)) for item in batch]  # noqa: E731
    for rows, (embedding, norm) in infer(items, 8, Adapter(), model, errors):
        vectors.put(rows, embedding, norm)
    columns = vectors.columns(errors)
    assert columns["embedding"].to_pylist() == [[3], None, [3], None]
    assert columns["error"].to_pylist() == [None, "lost", None, "lost"]


class OnDevice(Adapter):
    device = torch.device("meta")


def _rates(monkeypatch, rate_of):
    """A model whose batches of n take n / rate_of(n) seconds, by a clock that only it moves."""
    now, sizes = [0.0], []
    monkeypatch.setattr(batching, "perf_counter", lambda: now[0])

    def model(batch):
        sizes.append(len(batch))
        now[0] += len(batch) / rate_of(len(batch))
        return batch

    return model, sizes


def test_auto_grows_on_a_device_for_as_long_as_it_pays(monkeypatch, caplog):
    model, sizes = _rates(monkeypatch, lambda n: min(n, 256))
    adapter, items = OnDevice(), [(row, row, None) for row in range(4000)]
    found = list(infer(items, "auto", adapter, model, [None] * 4000))
    assert [row for row, _ in found] == list(range(4000))
    assert sizes[:8] == [64, 64, 128, 128, 256, 256, 512, 512] and sizes[8] == 256
    assert settled(adapter) == {"images": 256}
    sizes.clear()
    list(infer(items[:600], "auto", adapter, model, [None] * 600))
    assert sizes == [256, 256, 88]  # kept for as long as the model is loaded
    assert caplog.messages == ["batches of 256 images on meta, 256 a second"]  # said once


def test_auto_that_runs_out_of_memory_settles_for_what_fits(monkeypatch):
    adapter, sizes = OnDevice(), []
    small = _small(200, sizes)
    timed, _ = _rates(monkeypatch, lambda n: n)
    items = [(row, Image.new("RGB", (1, 1)), None) for row in range(1000)]
    list(infer(items, "auto", adapter, lambda batch: timed(small(batch)), [None] * 1000))
    assert max(sizes) == 128 and settled(adapter) == {"images": 128}


def test_a_stated_size_never_grows(monkeypatch):
    model, sizes = _rates(monkeypatch, lambda n: n)
    list(infer([(row, row, None) for row in range(90)], 30, OnDevice(), model, [None] * 90))
    assert sizes == [30, 30, 30]
