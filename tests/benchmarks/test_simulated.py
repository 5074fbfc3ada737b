from tests.benchmarks import simulated, simulated_joint


def test_the_table_has_the_rate_and_what_was_possible(capsys, monkeypatch):
    monkeypatch.setenv(simulated.decoders.COUNT, "0")  # threads decode
    words = "--sizes 64x48 --rates 200 --seconds 0.5 --rounds 1 --bandwidth"
    simulated.main(words.split())
    _, row = capsys.readouterr().out.splitlines()
    assert row.startswith("64x48, device of 200 images/s") and "decoding alone" in row
    assert 0 < float(row[44:54]) <= 200 and 0 < float(row[55:62]) <= 1.0


def test_the_joint_pass_says_how_long_the_device_computed(capsys, monkeypatch):
    monkeypatch.setenv(simulated.decoders.COUNT, "0")
    simulated_joint.main(["--images", "24", "--part-size", "12"])
    *_, said = capsys.readouterr().out.splitlines()
    first, second = said.replace(",", "").split(" ")[6::5]
    assert 0 < float(first) <= 1 and 0 < float(second) <= 1
