import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.models.given.embedding_file import EmbeddingFileSpec

NAMES = ["b.jpg", "./a.jpg", "ä/é.jpg"]
VALUES = np.float32([[1, 2], [3, 4], [5, 6]])


def write(folder, form, names=NAMES, values=VALUES):
    """The same vectors in each of the forms; the parameters that read them."""
    lists = pa.array(values.tolist(), pa.list_(pa.float32(), values.shape[1]))
    table = pa.table({"other": [1] * len(names), "path": names, "vector": lists})
    if form == "parquet":
        pq.write_table(table, folder / "e.parquet")
        return {"file": str(folder / "e.parquet"), "key": "path", "embedding": "vector"}
    if form == "npz":
        np.savez(folder / "e.npz", k=np.array(names, dtype=str), v=values)
        return {"file": str(folder / "e.npz"), "key": "k", "embedding": "v"}
    np.save(folder / "e.npy", values)
    np.savez(folder / "f.npz", v=values)
    (folder / "names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    pq.write_table(table, folder / "names.parquet")
    lines, columns = str(folder / "names.txt"), str(folder / "names.parquet")
    return {
        "npy+txt": {"file": str(folder / "e.npy"), "list": lines, "key": None, "embedding": None},
        "npy+parquet": {
            "file": str(folder / "e.npy"),
            "list": columns,
            "key": "path",
            "embedding": None,
        },
        "npz+txt": {"file": str(folder / "f.npz"), "list": lines, "key": None, "embedding": "v"},
    }[form]


FORMS = ["parquet", "npz", "npy+txt", "npy+parquet", "npz+txt"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_vectors(tmp_path, form):
    spec = EmbeddingFileSpec(**write(tmp_path, form))
    assert set(spec.identity()) == ({"file", "list"} if "+" in form else {"file"})
    file = spec.load()
    assert (len(file), file.width) == (3, 2)
    rows = file.find(["ä/é.jpg", "a.jpg", "A.jpg", None, "b.jpg"])
    assert rows.tolist() == [2, 1, -1, -1, 0]
    values, faults = file.take(rows[rows >= 0])
    assert values.tolist() == [[5, 6], [3, 4], [1, 2]] and faults == [None] * 3


@pytest.mark.parametrize("form", FORMS)
def test_the_identity_is_the_content(tmp_path, form):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = (EmbeddingFileSpec(**write(tmp_path / name, form)) for name in ("one", "two"))
    before = one.identity()
    assert before == two.identity()
    other = write(tmp_path / "one", form, names=["b.jpg", "c.jpg", "d.jpg"])
    os.utime(other.get("list") or other["file"], ns=(1, 1))
    assert one.identity() != before


def test_the_file_is_hashed_once_while_it_stays(tmp_path, monkeypatch):
    spec = EmbeddingFileSpec(**write(tmp_path, "npy+txt"))
    before = spec.identity()
    monkeypatch.setattr("hashlib.file_digest", None)
    assert spec.identity() == before
    os.utime(spec.file, ns=(1, 1))
    with pytest.raises(TypeError):
        spec.identity()


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_not_there(tmp_path, form):
    given = write(tmp_path, form)
    lost = EmbeddingFileSpec(**{**given, "file": given["file"].replace("/e.", "/ee.")})
    if lost.file != given["file"]:
        with pytest.raises(UserError, match="no such file of embeddings") as failure:
            lost.identity()
        assert "did you mean" in failure.value.hint
    if given.get("list"):
        lost = EmbeddingFileSpec(**{**given, "list": str(tmp_path / "name.txt")})
        with pytest.raises(UserError, match="no such file of keys") as failure:
            lost.identity()
        assert failure.value.hint == "did you mean 'names.txt'?"


def test_a_column_or_array_that_is_not_there(tmp_path):
    table, arrays = (write(tmp_path, form) for form in ("parquet", "npz"))
    with pytest.raises(UserError, match="no column 'vektor'") as failure:
        EmbeddingFileSpec(**{**table, "embedding": "vektor"}).identity()
    assert failure.value.hint == "did you mean 'vector'?"
    assert "`embedding: vektor`" in failure.value.where
    with pytest.raises(UserError, match="no array 'keys'") as failure:
        EmbeddingFileSpec(**{**arrays, "key": "keys"}).identity()
    assert failure.value.hint == "known: k, v" and "`key: keys`" in failure.value.where
    listed = write(tmp_path, "npy+parquet")
    with pytest.raises(UserError, match="the keys file has no column 'uid'"):
        EmbeddingFileSpec(**{**listed, "key": "uid"}).identity()


@pytest.mark.parametrize(("form", "count"), [("npy+txt", 2), ("npz+txt", 4), ("npy+parquet", 1)])
def test_as_many_keys_as_vectors(tmp_path, form, count):
    given = write(tmp_path, form)
    names = [f"{number}.jpg" for number in range(count)]
    if given["list"].endswith("txt"):
        (tmp_path / "names.txt").write_text("\n".join(names))
    else:
        pq.write_table(pa.table({"path": names}), tmp_path / "names.parquet")
    with pytest.raises(UserError, match=f"there are {count} keys and 3 vectors") as failure:
        EmbeddingFileSpec(**given).load()
    assert given["list"] in failure.value.where and given["file"] in failure.value.where


def test_a_list_of_lines(tmp_path):
    """Windows' ends of lines and mark at the beginning; what only looks like an end of line."""
    given = write(tmp_path, "npy+txt")
    names = "﻿b.jpg\r\nodd\u2028name.jpg\r\n c .jpg\r\n"
    (tmp_path / "names.txt").write_text(names, encoding="utf-8", newline="")
    file = EmbeddingFileSpec(**given).load()
    assert file.find(["b.jpg", "odd\u2028name.jpg", " c .jpg"]).tolist() == [0, 1, 2]
    (tmp_path / "names.txt").write_text("a.jpg\n\nb.jpg\n")
    with pytest.raises(UserError, match="1 rows of embeddings name no image: their line is empty"):
        EmbeddingFileSpec(**given).load()
    (tmp_path / "names.txt").write_bytes(b"caf\xe9.jpg\n1\n2\n")
    with pytest.raises(UserError, match=r"the keys file cannot be read: .*utf-8") as failure:
        EmbeddingFileSpec(**given).load()
    assert failure.value.hint == "it must be UTF-8"
    (tmp_path / "names.txt").write_bytes(b"")
    with pytest.raises(UserError, match="there are 0 keys and 3 vectors"):
        EmbeddingFileSpec(**given).load()


@pytest.mark.parametrize("form", FORMS)
def test_two_different_vectors_of_an_image_are_an_error(tmp_path, form):
    names = ["b", "a", "b", "./a", "c", "c", "d", "d"]
    values = np.float32([[1, 1], [2, 2], [3, 3], [2, 2], [4, 4], [4, 5], [np.nan, 1], [np.nan, 1]])
    given = write(tmp_path, form, names, values)
    with pytest.raises(
        UserError, match="2 images have several different vectors: 'b', 'c'"
    ) as failure:
        EmbeddingFileSpec(**given).load()
    assert "several: first" in failure.value.hint
    first = EmbeddingFileSpec(**given, several="first").load()
    assert first.take(first.find(["a", "b", "c"]))[0].tolist() == [[2, 2], [1, 1], [4, 4]]


def test_many_repeated_keys_are_compared_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.models.given.embedding_file._COMPARED", 3)
    values = np.repeat(np.float32([[1, 2]]), 9, axis=0)
    given = write(tmp_path, "npz", ["a"] * 9, values)
    assert EmbeddingFileSpec(**given).load().find(["a"]).tolist() == [0]
    values[7] = 5
    given = write(tmp_path, "npz", ["a"] * 9, values)
    with pytest.raises(UserError, match="1 images have several different vectors: 'a'"):
        EmbeddingFileSpec(**given).load()


def test_keys_that_are_no_text(tmp_path):
    given = write(tmp_path, "parquet")
    pq.write_table(pa.table({"path": [1, 2], "vector": [[1.0], [2.0]]}), given["file"])
    with pytest.raises(UserError, match="the column 'path' holds int64, not text"):
        EmbeddingFileSpec(**given).load()
