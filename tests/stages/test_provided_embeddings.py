import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline import tables
from pipeline.dag import graph
from pipeline.engine import poison
from pipeline.errors import UserError
from pipeline.spec import output_parameters
from pipeline.stages.provided_embeddings import STAGE, ProvidedEmbeddingsParameters, run
from tests.conftest import draw, rows
from tests.helpers.images import images_table

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def write(tmp_path):
    def npz(vectors, name="e.npz", dtype=np.float32):
        """An .npz of vectors by key."""
        file = tmp_path / name
        keys = np.array(list(vectors), dtype=str)
        np.savez(file, keys=keys, embeddings=np.array(list(vectors.values()), dtype))
        return file

    return npz


def parameters(given_file, corpus_root=None, **options):
    root = None if corpus_root is None else str(corpus_root)
    context = {"base": given_file.parent, "root": root}
    given = {"file": given_file.name, "by": "path", **options}
    return TypeAdapter(ProvidedEmbeddingsParameters).validate_python(given, context=context)


def provide(listed, wanted):
    return run({"images": listed}, wanted, [spec.load() for spec in STAGE.models(wanted)])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_unit_vector_for_each_image(images, tmp_path, write, dtype):
    file = write({"b.png": [3, 4], "./a.png": [0, -0.5], "other.png": [1, 1]}, dtype=dtype)
    table = provide(images(a=RED, b=BLUE), parameters(file, tmp_path))
    tables.check("image_embeddings", table)
    assert table["image_id"].to_pylist() == ["a", "b"]
    values, valid = tables.matrix(table["embedding"])
    assert valid.all()
    np.testing.assert_allclose(values, [[0, -1], [0.6, 0.8]], atol=5e-4)
    assert table["norm"].to_pylist() == [0.5, 5.0]
    assert table["error"].to_pylist() == [None, None]


def test_what_is_wrong_with_a_vector_is_its_own_images_alone(images, tmp_path):
    names = ["fine", "nan", "inf", "zero", "null", "short", "hole", "large", "unread", "none"]
    listed = images(**dict.fromkeys(names, RED))
    unread = ["file cannot be read" if n == "unread" else None for n in names]
    listed = listed.set_column(listed.column_names.index("error"), "error", [unread])
    vectors = {
        "fine": [0.6, 0.8],
        "nan": [float("nan"), 1],
        "inf": [float("inf"), 1],
        "zero": [0, 0],
        "null": None,
        "short": [1],
        "hole": [1, None],
        "large": [1e308, 1e308],
        "unread": [1, 1],
    }
    column = pa.array(list(vectors.values()), pa.list_(pa.float64()))
    keys = [f"{name}.png" for name in vectors]
    pq.write_table(pa.table({"path": keys, "embedding": column}), tmp_path / "e.parquet")
    table = provide(listed, parameters(tmp_path / "e.parquet", tmp_path, key="path", by=None))
    tables.check("image_embeddings", table)
    assert dict(zip(names, table["error"].to_pylist(), strict=True)) == {
        "fine": None,
        "nan": "the vector in the file is not finite: path nan.png",
        "inf": "the vector in the file is not finite: path inf.png",
        "zero": "the vector in the file is all zeros: path zero.png",
        "null": "the vector in the file is null: path null.png",
        "short": "the vector in the file has 1 numbers, not 2: path short.png",
        "hole": "the vector in the file is not finite: path hole.png",
        "large": "the vector in the file is not finite: path large.png",
        "unread": "file cannot be read",
        "none": "no embedding in the file: path none.png",
    }
    assert table["embedding"].is_valid().to_pylist() == [name == "fine" for name in names]
    assert table["norm"].to_pylist() == [1.0] + [None] * 9


@pytest.mark.parametrize("way", ["uri", "image_id", "sha256", "name"])
def test_images_are_matched_by_what_the_key_is(images, write, way):
    listed = images(a=RED, b=BLUE)
    keys = ["a.png", "b.png"] if way == "name" else listed[way].to_pylist()
    table = provide(listed, parameters(write({keys[1]: [1, 0]}), by=way))
    assert table["embedding"].is_valid().to_pylist() == [False, True]
    assert table["error"].to_pylist() == [f"no embedding in the file: {way} {keys[0]}", None]


def test_a_miss_says_what_the_file_has_instead(tmp_path, write):
    root = tmp_path / "corpus"
    names = ["x/1.jpg", "é.jpg", "Big.jpg", "no.jpg"]
    uris = [str(draw(root / name, seed)) for seed, name in enumerate(names)]
    listed = images_table({"image_id": list("abcd"), "uri": uris})
    file = write({"1.jpg": [1, 1], "e\u0301.jpg": [1, 1], "big.jpg": [1, 1]})
    assert provide(listed, parameters(file, root))["error"].to_pylist() == [
        "no embedding in the file: path x/1.jpg (it has only '1.jpg': write whole paths below the "
        "root)",
        "no embedding in the file: path é.jpg (it has 'e\u0301.jpg' in other Unicode letters: "
        "names are compared letter by letter)",
        "no embedding in the file: path Big.jpg (it has 'big.jpg' in other letters: names are "
        "compared letter by letter)",
        "no embedding in the file: path no.jpg",
    ]


def test_a_variant_is_another_picture(images, write):
    listed = images(a=RED, b=BLUE)
    ids = ["a", "b-jpeg_50"]
    listed = listed.set_column(0, "image_id", [ids])
    listed = listed.set_column(
        listed.column_names.index("variant"), "variant", [["clean", "jpeg_50"]]
    )
    by_name = provide(listed, parameters(write({"a.png": [1, 0], "b.png": [0, 1]}), by="name"))
    first, other = by_name["error"].to_pylist()
    assert first is None
    assert other == (
        "the file's embeddings are of clean images: jpeg_50 is found by image_id alone, not by name"
    )
    by_id = provide(listed, parameters(write({"a": [1, 0], "b-jpeg_50": [0, 1]}), by="image_id"))
    assert by_id["error"].to_pylist() == [None, None]
    bare = provide(listed, parameters(write({"a": [1, 0], "b": [0, 1]}), by="image_id"))
    assert bare["error"].to_pylist() == [None, "no embedding in the file: image_id b-jpeg_50"]


def test_any_subset_of_images_gives_the_same_rows(images, tmp_path, write):
    listed = images(**{f"i{number}": RED for number in range(6)})
    wanted = parameters(write({"i1.png": [1, 2], "i4.png": [0, 0]}), tmp_path)
    whole = provide(listed, wanted)
    parts = [provide(listed.slice(start, 2), wanted).to_pylist() for start in (0, 2, 4)]
    assert [row for part in parts for row in part] == whole.to_pylist()
    assert provide(listed.slice(0, 0), wanted).num_rows == 0


NPY, PARQUET = {"file": "e.npy"}, {"file": "e.parquet"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": "e.pt"}, r"must end in one of \.npy, \.npz, \.parquet"),
        ({"file": "s3://bucket/e.npy"}, "the file of embeddings must be a local one"),
        ({"file": None}, "Field required"),
        (NPY, r"give their keys in `list: names\.txt`"),
        ({**NPY, "list": "n.txt", "embedding": "v"}, "a .npy is one array: leave `embedding` out"),
        ({**NPY, "list": "n.txt", "key": "path"}, "lines has no columns: leave `key` out"),
        ({**NPY, "list": "n.txt", "by": None}, "what does the list hold.*image_id, sha256, name"),
        ({**NPY, "list": "n.json"}, r"must end in one of \.txt"),
        ({**NPY, "list": "n.csv"}, "`key` is missing"),
        (PARQUET, "`key` is missing"),
        ({**PARQUET, "key": "name", "by": None}, "what does 'name' hold"),
        ({**PARQUET, "key": "embedding"}, "both 'embedding'"),
        ({**PARQUET, "key": "path", "list": "n.txt"}, "beside its vectors: leave `list` out"),
        ({"by": "stem"}, "Input should be 'path'"),
        ({"keys": "k"}, "Extra inputs"),
    ],
)
def test_senseless_parameters_are_refused(write, options, said):
    with pytest.raises(ValidationError, match=said):
        parameters(write({}), **options)


def test_the_defaults_of_each_kind_of_file(tmp_path):
    def chosen(name, **options):
        made = parameters(tmp_path / name, **options)
        return made.key, made.embedding, made.list and made.list.rpartition("/")[2], made.way

    assert chosen("e.npz") == ("keys", "embeddings", None, "path")
    assert chosen("e.npz", key="sha256", by=None) == ("sha256", "embeddings", None, "sha256")
    assert chosen("e.npz", list="n.txt") == (None, "embeddings", "n.txt", "path")
    assert chosen("e.NPZ", list="n.csv", key="uid") == ("uid", "embeddings", "n.csv", "path")
    assert chosen("e.parquet", key="uri", by=None) == ("uri", "embedding", None, "uri")
    assert chosen("e.npy", list="n.txt", by="name") == (None, None, "n.txt", "name")
    for made in (parameters(tmp_path / "e.npz", list="n.txt"), parameters(tmp_path / "e.npz")):
        assert type(made).model_validate_json(made.model_dump_json()) == made


def test_the_content_is_in_the_fingerprint_and_the_name_is_not(tmp_path, write):
    one, two = write({"a": [1, 2]}), write({"a": [1, 2]}, name="two.npz")
    kept = [output_parameters(parameters(file, "/c")) for file in (one, two)]
    assert kept[0] == kept[1]
    assert kept[0] == {"key": "keys", "embedding": "embeddings", "by": "path", "several": "error"}
    identities = [STAGE.models(parameters(file))[0].identity() for file in (one, two)]
    assert identities[0] == identities[1]


@pytest.mark.parametrize("way", ["name", "path"])
def test_a_name_of_several_images_says_of_none_which_is_meant(tmp_path, write, way):
    uris = [f"/c/{name}" for name in ("x/1.jpg", "y/1.jpg", "x/2.jpg", "z/3.jpg", "w/3.jpg")]
    listed = pa.table({"image_id": list("abcde"), "uri": uris})
    wanted = parameters(write({"1.jpg": [1, 1]}), "/c", by=way)
    if way == "path":
        STAGE.distinct(listed, wanted)
        return
    with pytest.raises(UserError) as failure:
        STAGE.distinct(listed, wanted)
    assert failure.value.what == (
        "2 file names are those of several different images: 1.jpg, 3.jpg (/c/x/1.jpg, /c/y/1.jpg)"
    )
    STAGE.distinct(listed.slice(1, 3), wanted)


def dag_file(tmp_path, corpus, **node):
    file = tmp_path / "given.yaml"
    given = {"stage": "provided", "table": "image_embeddings", "images": "images", **node}
    raw = {
        "name": "given",
        "corpus": {"root": str(corpus), "layout": "forensynths", "part_size": 5},
        "nodes": {"dinov2": {"file": "e.npz", "by": "path", **given}},
    }
    file.write_text(json.dumps(raw))  # JSON is YAML
    return file


def test_a_dag_brings_its_corpus_root_and_a_child_process_keeps_it(tmp_path, corpus, write):
    uri = corpus / "test" / "gan" / "0_real" / "1.jpg"
    write({str(uri.relative_to(corpus)): [1, 0]})
    node = graph.load(str(dag_file(tmp_path, corpus))).nodes["dinov2"]
    assert (node.stage.name, node.parameters.root) == ("provided_embeddings", str(corpus))
    listed = images_table({"image_id": ["a"], "uri": [str(uri)]})
    table = poison.in_child(node.stage, node.parameters, {"images": listed})
    assert table["norm"].to_pylist() == [1.0]


@pytest.mark.parametrize(
    ("node", "said", "hint"),
    [
        ({"table": "regions"}, "'provided' makes no table 'regions'", "did you mean 'captions'?"),
        ({"stage": "provided_embeddings"}, "there is no stage 'provided_embeddings'", "'provided'"),
        ({"table": "captions"}, "unknown key 'by'|must end in one of", None),
        ({"stage": "embed_images"}, "unknown key", None),
    ],
)
def test_the_table_tells_which_stage_it_is(tmp_path, corpus, write, node, said, hint):
    write({"a": [1, 0]})
    with pytest.raises(UserError, match=said) as failure:
        graph.load(str(dag_file(tmp_path, corpus, **node)))
    assert "nodes.dinov2" in failure.value.where
    assert hint is None or hint in failure.value.hint


def test_a_run_joins_the_vectors_to_the_corpus(tmp_path, corpus, write, item):
    names = sorted(str(path.relative_to(corpus)) for path in corpus.rglob("*.jpg"))
    write({name: [number + 1, 0, 1] for number, name in enumerate(names[:-1])})
    file = dag_file(tmp_path, corpus)
    store = ("--store", tmp_path / "store")
    done = item("run", file, "--inline", *store, cwd=tmp_path)
    assert done.returncode == 1, done.stderr  # one of twelve failed: more than is allowed
    sql = (
        "select uri, embedding[1]::float as first, norm, e.error "
        "from dinov2 as e join listing using (image_id)"
    )
    asked = item("query", file, sql, "--format", "json", *store, cwd=tmp_path)
    found = {row["uri"]: (row["first"], row["norm"], row["error"]) for row in rows(asked)}
    for number, name in enumerate(names[:-1]):
        first, norm, error = found[str(corpus / name)]
        length = ((number + 1) ** 2 + 1) ** 0.5
        assert error is None and norm == pytest.approx(length)
        assert first == pytest.approx((number + 1) / length, abs=5e-4)
    assert found[str(corpus / names[-1])] == (
        None, None, f"no embedding in the file: path {names[-1]}"
    )  # fmt: skip
    again = item("verify", file, *store, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    # another file under the same name: computed anew; the same content elsewhere: not
    write({name: [1, 1] for name in names})
    more = item("run", file, "--inline", *store, cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert "12 in, 12 ok, 0 failed" in more.stderr + more.stdout


def test_a_run_by_names_that_several_images_have_computes_nothing(tmp_path, corpus, write, item):
    write({"1.jpg": [1, 0]})
    file = dag_file(tmp_path, corpus, by="name")
    for command in (("run", file, "--inline"), ("plan", file)):
        done = item(*command, "--store", tmp_path / "store", cwd=tmp_path)
        assert done.returncode == 2
        assert "file names are those of several different images" in done.stderr
    assert not list((tmp_path / "store").glob("provided_embeddings/*/part*"))
