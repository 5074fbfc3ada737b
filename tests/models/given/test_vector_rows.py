import tempfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.models.given import vector_rows

VALUES = np.arange(24, dtype=np.float32).reshape(6, 4) / 8
ROWS = np.array([5, 0, 0, 3])
TAKEN = [[2.5, 2.625, 2.75, 2.875], [0, 0.125, 0.25, 0.375], [0, 0.125, 0.25, 0.375],
         [1.5, 1.625, 1.75, 1.875]]  # fmt: skip


def lists(kind, values=VALUES):
    return pa.array(values.tolist(), kind)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_every_way_to_keep_an_array_gives_the_same_vectors(tmp_path, dtype, order):
    array = np.asarray(VALUES, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", other=np.zeros(3), vectors=array)
    np.savez_compressed(tmp_path / "b.npz", vectors=array, keys=np.array(["a"]))
    found = [
        vector_rows.npy(tmp_path / "a.npy"),
        vector_rows.npz(tmp_path / "a.npz", "vectors"),
        vector_rows.npz(tmp_path / "b.npz", "vectors"),
    ]
    for rows in found:
        assert rows.array.shape == (6, 4)
        assert rows.array.dtype == np.dtype(dtype)
        taken = rows.take(ROWS)
        assert taken.dtype == np.float64 and taken.tolist() == TAKEN
        assert rows.take(np.empty(0, np.int64)).shape == (0, 4)


@pytest.mark.parametrize("number", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("shape", ["list", "large_list", "fixed"])
@pytest.mark.parametrize("group", [2, 100])
def test_parquet_lists_of_any_make_give_the_same_vectors(tmp_path, number, shape, group):
    kind = {
        "list": pa.list_(number),
        "large_list": pa.large_list(number),
        "fixed": pa.list_(number, 4),
    }[shape]
    table = pa.table({"path": list("abcdef"), "vector": lists(kind)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=group)
    rows = vector_rows.parquet(tmp_path / "a.parquet", "vector")
    assert rows.faults == {}
    assert rows.array.dtype == number.to_pandas_dtype()
    assert rows.take(ROWS).tolist() == TAKEN


@pytest.mark.parametrize("fixed", [False, True])
def test_a_null_vector_is_at_fault_and_a_null_number_is_nan(tmp_path, fixed):
    values = [[1, 2], None, [3, None], [5, 6]]
    kind = pa.list_(pa.float16(), 2) if fixed else pa.list_(pa.float16())
    pq.write_table(pa.table({"vector": pa.array(values, kind)}), tmp_path / "a.parquet")
    rows = vector_rows.parquet(tmp_path / "a.parquet", "vector")
    assert rows.faults == {1: "is null"}
    np.testing.assert_array_equal(rows.take(np.arange(4)), [[1, 2], [0, 0], [3, np.nan], [5, 6]])


def test_the_width_is_what_most_rows_have(tmp_path):
    values = [[1.0], [2.0, 3.0], [4.0, 5.0], [], [6.0, 7.0, 8.0]]
    column = pa.array(values, pa.list_(pa.float32()))
    pq.write_table(pa.table({"vector": column}), tmp_path / "a.parquet")
    rows = vector_rows.parquet(tmp_path / "a.parquet", "vector")
    assert rows.array.shape == (5, 2)
    assert rows.faults == {
        0: "has 1 numbers, not 2",
        3: "has 0 numbers, not 2",
        4: "has 3 numbers, not 2",
    }
    assert rows.take(np.array([1, 2])).tolist() == [[2, 3], [4, 5]]


def test_faults_are_counted_on_from_batch_to_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_rows, "_BATCH", 2)
    values = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], None, [7.0], [8.0, 9.0]]
    column = pa.array(values, pa.list_(pa.float32()))
    pq.write_table(pa.table({"vector": column}), tmp_path / "a.parquet")
    rows = vector_rows.parquet(tmp_path / "a.parquet", "vector")
    assert rows.faults == {3: "is null", 4: "has 1 numbers, not 2"}
    assert rows.take(np.array([2, 5])).tolist() == [[5, 6], [8, 9]]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 2), np.int8), "holds int8, not floating-point numbers"),
        (np.zeros((3, 2), bool), "holds bool, not floating-point numbers"),
        (np.zeros((3, 2), np.longdouble), "not floating-point numbers"),
        (np.zeros((3, 2), complex), "holds complex128, not floating-point"),
        (np.zeros(3, np.float32), r"the array's shape is \[3\], not \[images, numbers"),
        (np.zeros((3, 2, 2), np.float32), r"shape is \[3, 2, 2\]"),
        (np.zeros((0, 2), np.float32), r"shape is \[0, 2\]"),
        (np.zeros((3, 0), np.float32), r"shape is \[3, 0\]"),
    ],
)
def test_arrays_that_are_no_vectors_are_refused(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", vectors=array)
    for read in (
        lambda: vector_rows.npy(tmp_path / "a.npy"),
        lambda: vector_rows.npz(tmp_path / "a.npz", "vectors"),
    ):
        with pytest.raises(UserError, match=said) as failure:
            read()
        assert "\n" not in failure.value.what and str(tmp_path) in failure.value.where


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1.0, 2.0]), "holds double, not lists of floating-point"),
        (pa.array([[1], [2]], pa.list_(pa.int64())), "list<element: int64>, not lists of floating"),
        (pa.array([None, []], pa.list_(pa.float32())), "the first rows hold no vector"),
        (pa.array([], pa.list_(pa.float32())), "the embeddings file has no rows"),
    ],
)
def test_columns_that_are_no_vectors_are_refused(tmp_path, column, said):
    pq.write_table(pa.table({"vector": column}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=said):
        vector_rows.parquet(tmp_path / "a.parquet", "vector")


class Bomb:
    """What unpickling would run."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_unpickled(tmp_path, capsys):
    objects = np.empty((1, 1), object)
    objects[0, 0] = Bomb()
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", vectors=objects, keys=np.array([Bomb()], object))
    with pytest.raises(UserError, match="cannot be read"):
        vector_rows.npy(tmp_path / "a.npy")
    with pytest.raises(UserError, match="holds object, not floating-point"):
        vector_rows.npz(tmp_path / "a.npz", "vectors")
    with pytest.raises(UserError, match="Python objects, which are never unpickled") as failure:
        vector_rows.npz_text(tmp_path / "a.npz", "keys")
    assert "dtype=str" in failure.value.hint
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", b""),
        ("a.npy", b"not numpy"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{"),
        ("a.npz", b""),
        ("a.npz", b"not a zip"),
        ("a.parquet", b"PAR1 not parquet"),
    ],
)
def test_a_damaged_file_is_the_users_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    kinds = {"npy": vector_rows.npy}
    kinds |= {"npz": lambda p: vector_rows.npz(p, "vectors")}
    kinds |= {"parquet": lambda p: vector_rows.parquet(p, "vector")}
    with pytest.raises(UserError, match="the embeddings file cannot be read: ") as failure:
        kinds[name.partition(".")[2]](path)
    assert failure.value.where == str(path)
    assert failure.value.hint.startswith("it must be .npy or .npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_short_or_with_a_flipped_bit_is_the_users_error(tmp_path, save):
    np.save(tmp_path / "a.npy", VALUES)
    cut = (tmp_path / "a.npy").read_bytes()[:-1]
    (tmp_path / "a.npy").write_bytes(cut)
    with pytest.raises(UserError, match="cannot be read"):
        vector_rows.npy(tmp_path / "a.npy")
    many = np.random.default_rng(0).random((500, 4))
    save(tmp_path / "a.npz", vectors=many)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        middle = archive.infolist()[0].compress_size // 2
    content[middle + 100] ^= 8
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        vector_rows.npz(tmp_path / "a.npz", "vectors")


def test_text_of_an_npz(tmp_path):
    np.savez(tmp_path / "a.npz", u=np.array(["a/é.jpg", "b"]), s=np.array([b"x", b"\xc3\xa9"]),
             n=np.arange(3), two=np.array([["a"]]))  # fmt: skip
    assert vector_rows.npz_names(tmp_path / "a.npz") == ["u", "s", "n", "two"]
    assert vector_rows.npz_text(tmp_path / "a.npz", "u").to_pylist() == ["a/é.jpg", "b"]
    assert vector_rows.npz_text(tmp_path / "a.npz", "s").to_pylist() == ["x", "é"]
    for name in ("n", "two"):
        with pytest.raises(UserError, match=f"the array '{name}' holds .*, not a list of text"):
            vector_rows.npz_text(tmp_path / "a.npz", name)


def test_what_is_written_out_has_no_name_and_needs_room(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    np.savez(tmp_path / "a.npz", vectors=VALUES)
    rows = vector_rows.npz(tmp_path / "a.npz", "vectors")
    assert isinstance(rows.array, np.memmap) and list(scratch.iterdir()) == []
    assert rows.take(ROWS).tolist() == TAKEN
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"take 0\.0 GB of disk, and 0\.0 GB are free") as failure:
        vector_rows.npz(tmp_path / "a.npz", "vectors")
    assert failure.value.where == str(scratch) and "TMPDIR" in failure.value.hint
