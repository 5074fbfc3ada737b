import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.corpus import blocks, decoders
from pipeline.corpus.decode import Beside, decode, sharing
from tests.corpus.test_decode import table_of


@dataclass(frozen=True)
class Shrunk:
    """Prepares an image for a pretended model."""

    size: tuple[int, int]

    def __call__(self, image):
        return np.array(image.resize(self.size)), image.size, os.getpid()


@dataclass(frozen=True)
class Cut:
    """Crops of an image."""

    def __call__(self, image, boxes):
        return [(number, np.array(image.crop(box))) for number, box in enumerate(boxes)]


@dataclass(frozen=True)
class Deadly:
    """Ends the process that prepares one image."""

    width: int

    def __call__(self, image):
        if image.width == self.width:
            os._exit(9)
        return np.array(image)


def photos(folder, count, size=(80, 60)):
    paths = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        paths.append(folder / f"{number:03}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture(scope="module", autouse=True)
def _pool():
    os.environ[decoders.COUNT] = "2"
    yield
    decoders.forget()
    del os.environ[decoders.COUNT]


def beside(ahead=64, **options):
    return Beside(lambda: ahead, **options)


def test_processes_give_what_threads_give_in_row_order(tmp_path):
    paths = photos(tmp_path, 70)
    table = table_of(*paths)
    paths[3].write_bytes(b"damaged")
    paths[40].unlink()
    there = list(decode(table, prepare=Shrunk((64, 48)), beside=beside()))
    here = list(decode(table, 1, Shrunk((64, 48))))
    assert [(row, error) for row, _, error in there] == [(row, error) for row, _, error in here]
    assert [row for row, value, _ in there if value is None] == [3, 40]
    for (_, one, _), (_, two, _) in zip(there, here, strict=True):
        if one is not None:
            assert np.array_equal(one[0], two[0]) and one[1] == two[1]
            assert one[2] != os.getpid()


def test_images_themselves_come_back_too(tmp_path):
    table = table_of(*photos(tmp_path, 20))
    for (_, one, _), (_, two, _) in zip(
        decode(table, beside=beside()), decode(table, 1), strict=True
    ):
        assert one.mode == "RGB" and one.tobytes() == two.tobytes()


def test_each_row_gets_what_is_given_for_it(tmp_path):
    table = table_of(*photos(tmp_path, 40))
    given = [[(0, 0, 4 + row, 5)] * (row % 3) for row in range(40)]
    found = list(decode(table, prepare=Cut(), given=given, beside=beside()))
    assert [[crop.shape for _, crop in crops] for _, crops, _ in found] == [
        [(5, 4 + row, 3)] * (row % 3) for row in range(40)
    ]


def test_prepared_images_lie_end_to_end_in_memory_that_the_device_was_told_of(tmp_path):
    told = []
    table = table_of(*photos(tmp_path, 160))
    with decoders_fresh():
        found = [
            value[0]
            for _, value, _ in decode(
                table, prepare=Shrunk((64, 64)), beside=beside(pin=told.append)
            )
        ]
    starts = [array.ctypes.data for array in found]
    ends = [start + array.nbytes for start, array in zip(starts, found, strict=True)]
    assert sum(start == end for start, end in zip(starts[1:], ends, strict=False)) >= 60
    assert told and all(buffer.nbytes >= 2**20 for buffer in told)
    known = [range(buffer.ctypes.data, buffer.ctypes.data + buffer.nbytes) for buffer in told]
    assert any(start in buffer for buffer in known for start in starts)


def _imported(name):
    return name in sys.modules


def test_processes_begin_with_what_image_processors_are_made_of():
    """Else each would import it for itself, for seconds, at the first job that needs it.

    In a program of its own: there is one server to a process, and another test may have begun it.
    """
    names = ("torchvision.transforms", "transformers.models.blip.image_processing_blip")
    code = (
        "from pipeline.corpus import decoders\n"
        "from tests.corpus.test_decoders import _imported\n"
        "submit = decoders.pool()._pool.submit\n"
        f"print([submit(_imported, name).result(timeout=60) for name in {names}])"
    )
    root = Path(decoders.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "[True, True]", done.stderr


class decoders_fresh:
    """Processes of their own, that have learnt nothing yet."""

    def __enter__(self):
        decoders.forget()

    def __exit__(self, *_):
        decoders.forget()


def test_memory_is_used_again_when_nobody_looks_at_it():
    memory = blocks.Blocks()
    name, lease = memory.take(1000)
    view = lease[:10].view(np.uint8)
    del lease
    other, second = memory.take(1000)
    assert other != name
    del view
    again, third = memory.take(2**19)
    assert again == name and third.nbytes == 2**20
    del second, third
    memory.close()


def test_without_room_for_shared_memory_the_answers_travel_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_made", lambda size: None)
    table = table_of(*photos(tmp_path, 40))
    with decoders_fresh(), sharing():
        for _ in range(2):
            there = list(decode(table, prepare=Shrunk((64, 48)), beside=beside()))
            here = list(decode(table, 1, Shrunk((64, 48))))
            assert all(
                np.array_equal(one[1][0], two[1][0]) for one, two in zip(there, here, strict=True)
            )


def test_within_sharing_no_file_is_read_twice_by_processes_or_threads(tmp_path):
    paths = photos(tmp_path, 40)
    table = table_of(*paths)
    with sharing():
        first = list(decode(table, prepare=Shrunk((64, 48)), beside=beside()))
        for path in paths:
            path.unlink()
        again = list(decode(table, prepare=Shrunk((64, 48)), beside=beside()))
        threads = list(decode(table, 2, Shrunk((64, 48))))
    for one, two, three in zip(first, again, threads, strict=True):
        assert one[2] is two[2] is three[2] is None
        assert np.array_equal(one[1][0], two[1][0]) and np.array_equal(one[1][0], three[1][0])
    assert all(error for _, _, error in decode(table, prepare=Shrunk((64, 48)), beside=beside()))


def test_a_process_that_dies_is_an_error_and_the_next_call_has_new_ones(tmp_path):
    table = table_of(*photos(tmp_path, 4), *photos_of(tmp_path / "bad", (33, 20)))
    with pytest.raises(RuntimeError, match="a process that decodes images died"):
        list(decode(table, prepare=Deadly(33), beside=beside()))
    good = list(decode(table.slice(0, 4), prepare=Deadly(33), beside=beside()))
    assert [row for row, value, _ in good if value is not None] == [0, 1, 2, 3]


def photos_of(folder, size):
    folder.mkdir()
    return photos(folder, 1, size)


def test_zero_means_that_threads_decode(monkeypatch):
    monkeypatch.setenv(decoders.COUNT, "0")
    assert decoders.pool() is None


def test_processes_end_when_their_parent_is_killed(tmp_path):
    photos(tmp_path, 4)
    code = f"""
import os, sys, time
from pathlib import Path
from tests.corpus.test_decode import table_of
from pipeline.corpus.decode import Beside, decode
from tests.corpus.test_decoders import Shrunk
if __name__ == "__main__":
    table = table_of(*sorted(Path({str(tmp_path)!r}).glob("*.png")))
    found = list(decode(table, 2, Shrunk((8, 8)), beside=Beside(lambda: 4)))
    print(*{{value[2] for _, value, _ in found}}, flush=True)
    time.sleep(60)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        children = [int(number) for number in parent.stdout.readline().split()]
        assert children
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while any(_runs(child) for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(_runs(child) for child in children)


def _runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
