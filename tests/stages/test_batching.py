import numpy as np
from PIL import Image

from pipeline.stages.batching import NOT_FINITE, Vectors, chunks, infer


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
    found = list(infer(_items(10, broken={0, 4, 5}), 4, model, errors))
    assert found == [(row, row + 1) for row in (1, 2, 3, 6, 7, 8, 9)]
    assert [row for row, error in enumerate(errors) if error] == [0, 4, 5]
    assert errors[4] == "broken 4"
    assert max(sizes) <= 4


def test_no_more_items_are_taken_than_the_batch_holds():
    taken = []

    def items():
        for item in _items(9):
            taken.append(item[0])
            yield item

    first = next(infer(items(), 3, lambda images: images, [None] * 9))
    assert first[0] == 0
    assert taken == [0, 1, 2]


def test_a_batch_of_broken_images_never_reaches_the_model():
    errors = [None] * 3
    assert list(infer(_items(3, broken={0, 1, 2}), 2, lambda images: 1 / 0, errors)) == []
    assert errors == ["broken 0", "broken 1", "broken 2"]


def test_chunks_keep_order_and_size():
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunks([], 2)) == []


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
    assert [row for row, _ in infer(items, 64, model, [None] * 5)] == list(range(5))
    assert sizes == [2, 2, 1]
