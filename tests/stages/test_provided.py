import json

import pyarrow.compute as pc
import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline import tables
from pipeline.dag import graph
from pipeline.engine import poison
from pipeline.errors import UserError
from pipeline.spec import output_parameters
from pipeline.stages.provided import STAGE, ProvidedParameters, run
from tests.conftest import draw, rows
from tests.helpers.images import images_table

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def write(tmp_path):
    def csv(*rows, header="path,caption", name="captions.csv"):
        file = tmp_path / name
        file.write_text("\n".join([header, *rows]))
        return file

    return csv


def parameters(csv, corpus_root=None, **options):
    context = {"base": csv.parent, "root": None if corpus_root is None else str(corpus_root)}
    given = {"file": csv.name, "key": "path", **options}
    return TypeAdapter(ProvidedParameters).validate_python(given, context=context)


def provide(listed, wanted):
    return run({"images": listed}, wanted, [spec.load() for spec in STAGE.models(wanted)])


def test_one_row_for_each_image(images, tmp_path, write):
    file = write('b.png,"  blue, all over "', "./a.png,red", "other.png,nothing")
    table = provide(images(a=RED, b=BLUE), parameters(file, tmp_path))
    tables.check("captions", table)
    assert table.to_pylist() == [
        {
            "image_id": "a",
            "caption": "red",
            "num_tokens": None,
            "mean_logprob": None,
            "error": None,
        },
        {
            "image_id": "b",
            "caption": "blue, all over",
            "num_tokens": None,
            "mean_logprob": None,
            "error": None,
        },
    ]


def test_images_without_a_caption_stay_as_failed_rows(images, tmp_path, write):
    listed = images(a=RED, none=BLUE, empty=BLUE, unread=RED)
    unread = [
        "file cannot be read" if one == "unread" else None for one in listed["image_id"].to_pylist()
    ]
    listed = listed.set_column(listed.column_names.index("error"), "error", [unread])
    file = write("a.png,red", 'empty.png,"  "', "unread.png,red")
    table = provide(listed, parameters(file, tmp_path))
    assert table["caption"].to_pylist() == ["red", None, None, None]
    assert table["error"].to_pylist() == [
        None,
        "no caption in the file: path none.png",
        "the caption in the file is empty: path empty.png",
        "file cannot be read",
    ]


@pytest.mark.parametrize("way", ["uri", "image_id", "sha256"])
def test_images_are_matched_by_what_the_column_holds(images, write, way):
    listed = images(a=RED, b=BLUE)
    value = listed[way][1].as_py()
    file = write(f"{value},blue", header="name,words")
    table = provide(listed, parameters(file, key="name", caption="words", by=way))
    assert table["caption"].to_pylist() == [None, "blue"]
    assert table["error"][0].as_py() == f"no caption in the file: {way} {listed[way][0].as_py()}"


def test_a_path_is_the_whole_path_below_the_root(tmp_path, write):
    """The same name in two folders is two images; a name alone, or a part of one, is none."""
    root = tmp_path / "corpus"
    uris = [
        str(draw(root / name, seed)) for seed, name in enumerate(["x/1.jpg", "y/1.jpg", "1.jpg"])
    ]
    listed = images_table({"image_id": ["a", "b", "c"], "uri": uris})
    file = write("1.jpg,top", "y/1.jpg,lower", "orpus/x/1.jpg,wrong")
    table = provide(listed, parameters(file, root))
    assert table["caption"].to_pylist() == [None, "lower", "top"]
    assert table["error"].to_pylist() == [
        "no caption in the file: path x/1.jpg (it has only '1.jpg': write whole paths below the "
        "root)",
        None,
        None,
    ]
    above = write("corpus/x/1.jpg,x", name="above.csv")
    assert provide(listed, parameters(above, root, root=".."))["caption"][0].as_py() is None
    stated = parameters(above, root, root=str(tmp_path))
    assert provide(listed, stated)["caption"].to_pylist() == ["x", None, None]


def test_an_image_outside_the_root_is_the_users_error(images, tmp_path, write):
    with pytest.raises(UserError, match="does not lie below"):
        provide(images(a=RED), parameters(write("a.png,red"), tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="relative to a folder that is not known"):
        provide(images(a=RED), parameters(write("a.png,red")))


def test_any_subset_of_images_gives_the_same_rows(images, tmp_path, write):
    listed = images(**{f"i{number}": RED for number in range(6)})
    wanted = parameters(write("i1.png,one", "i4.png,four"), tmp_path)
    whole = provide(listed, wanted)
    parts = [provide(listed.slice(start, 2), wanted).to_pylist() for start in (0, 2, 4)]
    assert [row for part in parts for row in part] == whole.to_pylist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "image"}, "what does the column 'image' hold"),
        ({"caption": "path"}, "both 'path'"),
        ({"file": "captions.xlsx"}, "must end in one of .csv"),
        ({"file": "s3://bucket/captions.csv"}, "must be a local one"),
        ({"by": "name"}, "Input should be 'path'"),
    ],
)
def test_senseless_parameters_are_refused(write, options, said):
    with pytest.raises(ValidationError, match=said):
        parameters(write(), **options)


def test_the_content_is_in_the_fingerprint_and_the_name_is_not(tmp_path, write):
    one, two = write("a,b"), write("a,b", name="two.csv")
    assert output_parameters(parameters(one, "/c")) == output_parameters(parameters(two, "/c"))
    assert (
        STAGE.models(parameters(one))[0].identity() == STAGE.models(parameters(two))[0].identity()
    )


def dag_file(tmp_path, corpus, **node):
    file = tmp_path / "given.yaml"
    given = {"stage": "provided", "images": "images", "file": "captions.csv", "key": "path", **node}
    raw = {
        "name": "given",
        "corpus": {"root": str(corpus), "layout": "forensynths", "part_size": 5},
        "nodes": {"captions": given},
    }
    file.write_text(json.dumps(raw))  # JSON is YAML
    return file


def test_a_dag_brings_its_corpus_root_and_a_child_process_keeps_it(tmp_path, corpus, write):
    uri = corpus / "test" / "gan" / "0_real" / "1.jpg"
    write(f"{uri.relative_to(corpus)},a square")
    node = graph.load(str(dag_file(tmp_path, corpus))).nodes["captions"]
    assert node.parameters.root == str(corpus)
    listed = images_table({"image_id": ["a"], "uri": [str(uri)]})
    table = poison.in_child(node.stage, node.parameters, {"images": listed})
    assert table["caption"].to_pylist() == ["a square"]


def test_a_run_joins_the_captions_to_the_corpus(tmp_path, corpus, write, item):
    names = sorted(path.relative_to(corpus) for path in corpus.rglob("*.jpg"))
    write(*[f"{name},picture {number}" for number, name in enumerate(names[:-1])])
    file = dag_file(tmp_path, corpus)
    done = item("run", file, "--inline", "--store", tmp_path / "store", cwd=tmp_path)
    assert done.returncode == 1, done.stderr  # one of twelve failed: more than is allowed
    asked = item(
        "query", file, "select uri, caption, c.error from captions c join listing using (image_id)",
        "--format", "json", "--store", tmp_path / "store", cwd=tmp_path,
    )  # fmt: skip
    found = {row["uri"]: (row["caption"], row["error"]) for row in rows(asked)}
    assert found == {
        **{str(corpus / name): (f"picture {n}", None) for n, name in enumerate(names[:-1])},
        str(corpus / names[-1]): (None, f"no caption in the file: path {names[-1]}"),
    }


def test_a_missing_file_names_its_node(tmp_path, corpus):
    with pytest.raises(UserError, match="no such file of captions") as failure:
        graph.load(str(dag_file(tmp_path, corpus)))
    assert "nodes.captions" in failure.value.where


def test_failed_rows_are_counted(images, tmp_path, write):
    table = provide(images(a=RED, b=BLUE), parameters(write("a.png,red"), tmp_path))
    assert pc.sum(pc.is_valid(table["error"])).as_py() == 1
