from collections import Counter

from tests.benchmarks.fuzz import mutated, originals, outcome


def test_what_is_whole_is_read_but_for_formats_that_never_are():
    read = Counter((name, outcome(data)) for name, data in originals())
    assert {name for name, said in read if said == "decoded"} == {
        *("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000"),
        *("TGA", "DDS", "PCX", "ICO", "QOI", "SGI"),
    }
    assert len(read) == 15  # each name has one outcome


def test_some_mutated_files():
    assert mutated(7) == mutated(7)
    counts = Counter(outcome(mutated(number)[1]) for number in range(500))
    assert min(counts["error"], counts["decoded"]) > 20
