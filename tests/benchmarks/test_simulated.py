from tests.benchmarks import simulated


def test_the_table_has_the_rate_and_what_was_possible(capsys, monkeypatch):
    monkeypatch.setenv(simulated.decoders.COUNT, "0")  # threads decode
    words = "--sizes 64x48 --rates 200 --seconds 0.5 --rounds 1 --bandwidth"
    simulated.main(words.split())
    _, row = capsys.readouterr().out.splitlines()
    assert row.startswith("64x48, device of 200 images/s") and "decoding alone" in row
    assert 0 < float(row[44:54]) <= 200 and 0 < float(row[55:62]) <= 1.0
