"""Any table of images is read alike in every form, and all of its rows are accounted for."""

import csv
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.corpora import found_in

# what can stand in a cell: quotes, separators, ends of lines, other scripts; a null byte is no text
# of a CSV, half a character none of Parquet
TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8
) | st.sampled_from(
    ["a,b", 'say "x"', "tab\there", "end\nof", "é", "可灵", "0", "1.5", "NA", "null"]
)
NAMES = st.sampled_from(["a.jpg", "x/b.jpg", "./a.jpg", "", "  ", "c d.png", "é.jpg"]) | TEXT
LABELS = st.sampled_from([None, "", "real", "fake", "0", "1", "REAL", "nature", "ai", "neither"])
SPLITS = st.sampled_from([None, "train", "val", "test", "validation", "dev", "other"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {"path": NAMES, "label": LABELS, "generator": TEXT | st.none(), "split": SPLITS}
        | {"caption": TEXT | st.none()}
    ),
    min_size=1,
    max_size=12,
)
COLUMNS = ["path", "label", "generator", "split", "caption"]


def forms(folder, rows):
    """The same table as a file of each kind."""
    for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
        path = folder / f"list.{suffix}"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writerow(COLUMNS)
            writer.writerows([row[name] or "" for name in COLUMNS] for row in rows)
        yield path
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    yield path
    path = folder / "list.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    yield path
    path = folder / "list.parquet"
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    yield path


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_every_form_says_the_same_and_no_row_is_lost(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("manifest")
    rows = [dict.fromkeys(COLUMNS) | {"path": "first.jpg"}, *rows]  # a table names some image
    seen = []
    for path in forms(folder, rows):
        found = found_in(path)
        again = sum(found.ignored.values())
        assert len(found.files) + len(found.unlisted) + again == len(rows), path
        seen.append(
            (
                found.files.select(
                    ["path", "label", "generator", "split", "caption", "problem"]
                ).to_pylist(),
                found.unlisted.select(["path"]).to_pylist(),
            )
        )
    assert all(one == seen[0] for one in seen), [Counter(map(str, one[0])) for one in seen]
    named = [row["path"].strip() for row in rows]
    assert len(seen[0][1]) == named.count("")
