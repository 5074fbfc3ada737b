from tests.benchmarks import precisions


def test_rates_stand_beside_fp32(capsys):
    precisions.main(["--only", "bundled captioner", "--rounds", "1"])
    _, *rows = capsys.readouterr().out.splitlines()
    rates = [float(row[40:49]) for row in rows]
    assert [row[23:40].strip() for row in rows] == ["fp32", "bf16"]
    assert float(rows[0][50:56]) == 1.0
    assert abs(float(rows[1][50:56]) - rates[1] / rates[0]) < 0.02
