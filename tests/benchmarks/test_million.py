import subprocess
import sys

from tests.benchmarks import million_store


def test_it_prints_its_table_of_a_small_store(tmp_path):
    million_store.write(tmp_path / "made", 1200, 32, processes=1)
    sizes = {"images": 1200, "width": 32, "rows": 500, "hidden": 8, "batch": 64, "rounds": 1}
    sizes |= {"evaluated": 800, "methods": 2, "resamples": 20, "memory": "50MB"}
    options = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tests.benchmarks.million", str(tmp_path / "made"), *options]
    done = subprocess.run(command, capture_output=True, text=True)  # its children's memory alone
    assert done.returncode == 0, done.stderr
    table = done.stdout.splitlines()[-9:]
    assert table[0].startswith("1,200 images; 500 training images of 64 numbers, head of 8")
    names = ["item train", "in memory", "streamed", "MLPClassifier"]
    names += ["logistic, streamed", "LogisticRegression", "evaluation"]
    for line, name in zip(table[2:], names, strict=True):
        assert line.startswith(f"{name} ")
        figures = line.removeprefix(name).replace(",", "").split()
        assert all(float(figure) >= 0 for figure in figures)
