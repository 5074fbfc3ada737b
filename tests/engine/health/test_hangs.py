"""Parts that hang or lose their device, on real worker processes: each costs one row at most."""


def test_a_part_that_hangs_is_tried_elsewhere_then_its_image_becomes_a_failed_row(bench):
    (bench.folder / "hang").write_text("1-1")
    assert bench.drive(stall=2.0) == [task.part for task in bench.tasks]
    assert bench.rows() == {
        "1-1": "TookTooLong: took longer than 2s without a sign of life on this image"
    }
    assert bench.failures == []
    first, second = bench.said
    part = bench.tasks[1].part
    assert first.startswith(f"objects: {part} on worker ")
    assert "): no sign of life for 2s, at made_up.py:" in first
    assert "the worker is restarted, and the part is tried again, on another worker" in first
    assert second.endswith("its images are tried in child processes, to find the one at fault")
    names = [line.split(" on worker ")[1].split()[0] for line in (first, second)]
    assert names[0] != names[1]


def test_a_worker_that_is_stopped_altogether_is_restarted_and_nothing_is_lost(bench):
    (bench.folder / "stop").write_text("1-0")
    (bench.folder / "only_once").touch()
    assert bench.drive(stall=2.0) == [task.part for task in bench.tasks]
    assert bench.rows() == {}
    assert 1 <= len(bench.said) <= 2  # what waited there is under suspicion, too, when it fell
    line = bench.said[0]
    assert "no sign of life for 2s, where is not known: its process does not answer" in line


def test_a_lost_device_restarts_the_worker_and_blames_one_image(bench):
    (bench.folder / "assert").write_text("0-1")
    assert bench.drive(stall=60.0, workers=1) == [task.part for task in bench.tasks]
    errors = bench.rows()
    assert list(errors) == ["0-1"]
    assert "ended with status 1 on this image: " in errors["0-1"]
    first, second = (line for line in bench.said if "device" in line or "child" in line)
    assert "the device is lost to its process (RuntimeError: CUDA error: device-side" in first
    assert "the worker is restarted, and the part is tried again" in first
    assert second.endswith("its images are tried in child processes, to find the one at fault")
    processes = (bench.folder / "processes").read_text().split()
    assert len(processes) == len(set(processes))  # none was asked again after its device was lost
