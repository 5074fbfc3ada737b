"""Which releases of other tools read the parts, and open the database of `item db`.

    python -m tests.benchmarks.readers --store store duckdb==1.3.0 polars==1.36.1 pyarrow==26.0.0

Each release is installed into a temporary folder (pip, with a network) and asked in a process of
its own: for the vectors of a part whose nulls lie first, last, between others and alone, held
against what was written; DuckDB also for every view and macro of the demo's database.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.dag.graph import load
from pipeline.query.open_store import save
from pipeline.store import part_file
from pipeline.store.parts import Store

READ = {
    "duckdb": "import duckdb; rows = duckdb.read_parquet(part).select('embedding').fetchall()\n"
    "v = [row[0] for row in rows]",
    "polars": "import polars; v = polars.read_parquet(part)['embedding'].to_list()",
    "pyarrow": "import pyarrow.dataset as d; v = d.dataset(part).to_table()['embedding']\n"
    "v = v.to_pylist()",
}
OPEN = """
import duckdb
c = duckdb.connect(database, read_only=True)
views = c.execute("select schema_name || '.' || view_name from duckdb_views() where not internal")
macros = ["about_images(['a'])", "versus_reals('clean', null)", "files_tell()",
          "chosen_method(null, null, null)"]
lost = []
for name in [*(row[0] for row in views.fetchall()), *macros]:
    try:
        c.execute(f"select count(*) from {name}").fetchall()
    except duckdb.Error as error:
        lost.append(f"{name}: {error}".splitlines()[0])
print("; ".join(lost) or "every view and macro")
"""


def parts(folder: Path) -> dict[str, list]:
    """Parts of vectors, some of them null: file -> what it holds."""
    rng = np.random.default_rng(0)
    vectors = [row.astype(np.float16).tolist() for row in rng.standard_normal((300, 8))]
    nulls = {"first": {0}, "last": {299}, "some": set(range(0, 300, 7)), "all": set(range(300))}
    written = {}
    for name, lost in nulls.items():
        values = [None if i in lost else vector for i, vector in enumerate(vectors)]
        columns = {"image_id": [f"{i:032x}" for i in range(300)], "embedding": values}
        path = folder / f"{name}.parquet"
        part_file.write(path, tables.build("image_embeddings", columns, 8), {"part": 0})
        written[str(path)] = values
    return written


def asked(package: Path, code: str) -> str:
    """What the code prints with the packages of a folder; the error's last line if it fails."""
    code = f"import sys; sys.path.insert(0, {str(package)!r})\n{code}"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    if done.returncode:
        return f"fails: {(done.stderr.strip().splitlines() or ['?'])[-1][:100]}"
    return done.stdout.strip()


def main() -> None:
    """Prints a line for each release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("releases", nargs="+")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="item-readers-") as place:
        folder = Path(place)
        written = parts(folder)
        database = folder / "demo.duckdb"
        save(load("demo"), Store(wanted.store), database)
        for release in wanted.releases:
            name = release.partition("=")[0]
            package = folder / release
            install = [sys.executable, "-m", "pip", "install", "-q", "--target", package, release]
            subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
            wrong = []
            for part, values in written.items():
                code = f"import json; part = {part!r}\n{READ[name]}\n"
                code += "print(json.dumps([x if x is None else list(x) for x in v]))"
                answer = asked(package, code)
                if answer.startswith("fails") or not same(json.loads(answer), values):
                    wrong.append(f"nulls {Path(part).stem}: {answer[:90]}")
            print(f"{release}  parts: {'; '.join(wrong) or 'as written'}")
            if name == "duckdb":
                code = f"database = {str(database)!r}\n{OPEN}"
                print(f"{release}  database: {asked(package, code)}", flush=True)


def same(read: list, values: list) -> bool:
    """Whether nulls and numbers are where they were written; a float16 is exact in any float."""
    return pa.array(read, pa.list_(pa.float64())) == pa.array(values, pa.list_(pa.float64()))


if __name__ == "__main__":
    main()
