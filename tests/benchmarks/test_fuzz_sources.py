from collections import Counter

from tests.benchmarks.fuzz_sources import images, mutated, originals, outcome


def test_what_is_whole_is_listed_whole(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(images()[0][1])
    for suffix, data in originals():
        expected = 7 if suffix == ".tar" else 6  # with a link
        assert outcome(suffix, data, tmp_path) == {"images": expected}, suffix


def test_some_mutated_files(tmp_path):
    assert mutated(7) == mutated(7)
    found = [329, 861, 2771, 2772]  # that were tracebacks once
    counts = sum((outcome(*mutated(n), tmp_path) for n in [*found, *range(150)]), Counter())
    assert min(counts["images"], counts["failed rows"], counts["message"]) > 20
