from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.rows.selection import select, set_aside
from pipeline.head.rows.side import Rows
from pipeline.head.vectors.matrices import matrices

TRAIN = "generator = 'gan' and split = 'train'"
TEST = "split = 'test' and generator <> 'gan'"
HALF = {  # of the 24 reals and the 24 fakes of gan/train
    "train": f"{TRAIN} and image_id < '{12:032x}' or image_id between '{24:032x}' and '{35:032x}'",
    "validation": f"{TRAIN} and (image_id between '{12:032x}' and '{23:032x}' "
    f"or image_id between '{36:032x}' and '{47:032x}')",
}


def selected(connection, **changes):
    return select(connection, Experiment(**{"train": TRAIN, "test": TEST, **changes}), "x")


def ids(rows):
    return rows.table["image_id"].to_pylist()


def test_predicates_select_exactly_what_they_say(content, store):
    found = selected(store(content()), **HALF)
    for rows, reals, fakes in ((found.train, 0, 24), (found.validation, 12, 36)):
        expected = [*range(reals, reals + 12), *range(fakes, fakes + 12)]
        assert ids(rows) == [f"{i:032x}" for i in expected]
        assert rows.label.tolist() == [0] * 12 + [1] * 12
        assert rows.generators == rows.faked_by == {"gan"}
    assert found.test.table.num_rows == 2 * 48
    assert set(found.test.table["split"].to_pylist()) == {"test"}
    assert found.train.notes == found.validation.notes == found.test.notes == ()
    assert HALF["validation"] in found.validation.sql
    assert list(found.sides) == ["train", "validation", "test"]


def test_without_validation_a_share_of_the_training_rows_is_set_aside(content, store):
    found = selected(store(content()))
    assert (found.train.table.num_rows, found.validation.table.num_rows) == (38, 10)
    assert found.validation.label.tolist() == [0] * 5 + [1] * 5  # 0.2 of 24, of each label
    both = sorted(ids(found.train) + ids(found.validation))
    assert both == [f"{i:032x}" for i in range(48)]
    reals = sorted(both[:24], key=lambda i: sha256(f"0 {i}".encode()).digest())
    assert ids(found.validation)[:5] == sorted(reals[:5])
    assert "sha256('0 ' + image_id)" in found.validation.sql
    half = selected(store(content()), validation_share=0.5)
    assert half.validation.table.num_rows == 24
    assert set(ids(found.validation)) <= set(ids(half.validation))
    other = selected(store(content()), seed=1)
    assert ids(other.validation) != ids(found.validation)


def test_what_is_set_aside_depends_on_no_order_and_no_other_generator(content, store):
    both = "generator in ('gan', 'vae') and split = 'train'"
    made = content()
    found = selected(store(made), train=both, test="generator = 'flow'")
    of_each = found.validation.table.group_by(["generator", "label"]).aggregate([([], "count_all")])
    assert set(of_each["count_all"].to_pylist()) == {5}
    alone = selected(store(content()))
    assert ids(alone.validation) == ids(found.validation)[:10]
    backwards = Rows(found.train.table.take(list(range(75, -1, -1))), "", ())
    again = [set_aside(rows, 0.3, 0)[1] for rows in (found.train, backwards)]
    assert ids(again[0]) == ids(again[1])[::-1]


def test_sharing_out_keeps_a_lone_row_in_training_and_never_takes_all():
    def rows(label, generator):
        names = [f"{i:032x}" for i in range(len(label))]
        columns = {"image_id": names, "label": pa.array(label, pa.int8()), "generator": generator}
        return Rows(pa.table(columns), "sql", ("note",))

    train, held = set_aside(rows([0, 0, 1, 1, 1], ["a", "a", "a", "a", "b"]), 0.9, 0)
    assert (train.label.tolist(), held.label.tolist()) == ([0, 1, 1], [0, 1])
    assert "b" not in held.generators  # its only image
    assert (train.notes, held.notes) == (("note",), ())
    with pytest.raises(UserError, match="3 training images are too few"):
        set_aside(rows([0, 0, 1], ["a"] * 3), 0.2, 0)


def test_without_test_every_image_that_the_others_did_not_select_is_tested(content, store):
    made = content()
    made.listing["generator"][60] = None  # a null is not a row that training selects
    connection = store(made)
    found = selected(connection, test=None, allow_overlap=True)
    assert found.test.table.num_rows == 6 * 48 - 48
    assert not set(ids(found.train)) & set(ids(found.test))
    assert not set(ids(found.validation)) & set(ids(found.test))
    given = selected(connection, test=None, allow_overlap=True, **HALF)
    assert sorted(ids(given.test)) == sorted(ids(found.test))


def test_a_predicate_may_name_features_and_hold_comments(content, store):
    train = f"{TRAIN} and num_objects > 0 -- only with objects"
    found = selected(store(content()), train=train)
    assert found.train.table.num_rows + found.validation.table.num_rows == 42


def test_failed_unlabelled_and_repeated_rows_are_left_out_and_counted(content, store):
    made = content()
    made.features["error"][3] = "cannot be decoded"
    made.listing["label"][4] = None
    made.listing["image_id"][5], made.listing["error"][5] = None, "cannot be read"
    made.listing["image_id"][7] = made.listing["image_id"][6]  # the same bytes at two paths
    found = selected(store(made))
    assert found.train.table.num_rows + found.validation.table.num_rows == 44
    assert found.train.notes == (
        "2 failed rows left out",
        "1 unlabelled rows left out",
        "1 repeated files of the same images left out",
    )
    assert found.validation.notes == ()


def test_a_real_image_shared_by_generators_is_tested_once_for_each(content, store):
    made = content()
    vae, flow = 96 + 48, 192 + 48  # the first real test image of each
    made.listing["image_id"][flow] = made.listing["image_id"][vae]
    connection = store(made)
    test = selected(connection).test
    assert test.table.num_rows == 2 * 48
    shared = test.table.filter(pa.compute.equal(test.table["image_id"], f"{vae:032x}"))
    assert shared["generator"].to_pylist() == ["flow", "vae"]
    matrix = matrices(connection, test.table["image_id"], Experiment(train="true"))["global"]
    expected = made.features["global"].astype(np.float16).astype(np.float32)
    assert np.array_equal(matrix, expected[[int(i, 16) for i in ids(test)]])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train": "genertor = 'gan'"}, "did you mean 'generator'?"),
        ({"train": 'generator = "gan"'}, "single quotes"),
        ({"train": "generator = "}, "Parser Error"),
        ({"train": "true); drop view listing; select (true"}, "several statements"),
        ({"train": "generator = 'progan'"}, "selects no usable image"),
        ({"train": f"{TRAIN} and label = 1"}, "all 24 training rows are fake (label 1)"),
        ({"train": f"{TRAIN} and label = 0"}, "all 24 training rows are real (label 0)"),
        ({"train": "generator = 'gam'"}, "no file has generator 'gam': did you mean 'gan'?"),
        ({"test": "split = 'tset'"}, "no file has split 'tset': did you mean 'test'?"),
        ({"test": "split = 'val'"}, "experiments.x.test"),
        ({"train": "generator <> 'flow'"}, "48 images in both training and test"),
        ({"validation": "splitt = 'val'"}, "experiments.x.validation"),
        ({"validation": "split = 'val'"}, "selects no usable image"),
        ({**HALF, "validation": f"{HALF['validation']} and label = 0"}, "all 12 validation rows"),
        ({"validation": TRAIN}, "48 images in both training and validation"),
        ({**HALF, "test": HALF["validation"]}, "24 images in both validation and test"),
    ],
)
def test_wrong_predicates_say_what_and_where(content, store, change, says):
    with pytest.raises(UserError) as error:
        selected(store(content()), **change)
    assert says in str(error.value)
    assert "experiments.x" in str(error.value)


def test_validation_has_no_generator_that_training_has_not(content, store):
    """Not even its reals: they would tell where to put a threshold for it."""
    for rows in ("split = 'train'", "split = 'train' and label = 0"):
        strange = f"generator = 'vae' and {rows} or ({HALF['validation']})"
        with pytest.raises(UserError, match="generators that training has not: vae"):
            selected(store(content()), **{**HALF, "validation": strange})


def test_a_tested_generator_in_training_is_an_error_unless_allowed(content, store):
    connection = store(content())
    with pytest.raises(UserError, match=r"fakes of gan are tested(?s:.*)allow_overlap: true"):
        selected(connection, test="split = 'test'")
    found = selected(connection, test="split = 'test'", allow_overlap=True)
    assert found.overlap == ["gan"]
    assert selected(connection).overlap == []
    # its reals alone are other pictures of the same world, and teach nothing of its fakes
    train = f"({TRAIN}) or (generator = 'vae' and split = 'train' and label = 0)"
    assert selected(connection, train=train).overlap == []


def test_an_image_with_two_labels_is_an_error(content, store):
    made = content()
    made.listing["image_id"][30] = made.listing["image_id"][2]
    with pytest.raises(UserError, match=f"1 image labelled both.*{2:032x}"):
        selected(store(made))


def test_images_without_features_name_the_command(content, store):
    made = content()
    made.features = {name: values[:200] for name, values in made.features.items()}
    with pytest.raises(
        UserError, match=r"48 of 96 selected.*(?s:.*)compute them with `item run DAG`"
    ):
        selected(store(made))


def test_rows_are_read_in_the_variant_of_the_experiment(content, store):
    made = content()
    for split in ("train", "test"):
        made.perturb("jpeg_90", split, scale=1)
    made.features["cosine_global"][-1] = -1.0  # of the last test image, in jpeg_90 alone
    connection = store(made)
    clean, found = selected(connection), selected(connection, variant="jpeg_90")
    for side, rows in found.sides.items():
        own = clean.sides[side]
        assert ids(rows) == [f"{i}-jpeg_90" for i in ids(own)]  # the same images are set aside
        assert set(rows.table["variant"].to_pylist()) == {"jpeg_90"}
        assert rows.table["label"].equals(own.table["label"])
        assert set(own.table["variant"].to_pylist()) == {"clean"}
    lowest = {"test": "cosine_global = -1", "train": f"{TRAIN} and cosine_global > -1"}
    (one,) = ids(selected(connection, variant="jpeg_90", **lowest).test)
    assert one == f"{287:032x}-jpeg_90"


def test_images_without_the_variant_are_left_out_and_counted(content, store):
    made = content()
    made.perturb("jpeg_90", "train")
    made.perturb("jpeg_90", "test")
    for table in (made.images, made.features):
        for name, values in table.items():
            table[name] = values[:-5]
    found = selected(store(made), variant="jpeg_90", test="split = 'test' and generator <> 'gan'")
    assert found.test.table.num_rows == 2 * 48 - 5
    assert found.test.notes == ("5 rows that are not there in jpeg_90 left out",)
    with pytest.raises(UserError, match="no variant 'jpeg_9': did you mean 'jpeg_90'"):
        selected(store(made), variant="jpeg_9")


def test_an_image_is_on_one_side_in_whatever_variant(content, store):
    made = content()
    made.perturb("jpeg_50")
    with pytest.raises(UserError, match="24 images in both training and test"):
        selected(
            store(made),
            train="split = 'test' and generator = 'gan'",
            test="split = 'test' and (generator <> 'gan' or label = 1)",
            test_by=["generator", "variant"],
            allow_overlap=True,
        )


def test_test_images_come_in_every_variant_the_same_ones_in_each(content, store):
    made = content()
    made.perturb("jpeg_50")
    made.perturb("blur_1")
    made.perturb("blur_1", "train")  # of images that are not tested
    found = selected(store(made), test_by="variant")
    tables = [
        found.test.table.filter(pc.equal(found.test.table["variant"], variant))
        for variant in ("clean", "blur_1", "jpeg_50")
    ]
    assert found.test.table.equals(pa.concat_tables(tables).combine_chunks())  # in this order
    plain = selected(store(made)).test.table
    assert tables[0].equals(plain)
    for table, variant in zip(tables[1:], ("blur_1", "jpeg_50"), strict=True):
        assert table["image_id"].to_pylist() == [
            f"{i}-{variant}" for i in plain["image_id"].to_pylist()
        ]
    assert set(found.train.table["variant"].to_pylist()) == {"clean"}
    assert found.test.notes == ()


def test_an_image_that_lacks_a_variant_or_failed_in_one_counts_in_none(content, store):
    made = content()
    made.perturb("jpeg_50")
    made.features["error"][-1] = "no caption: cannot be decoded"
    for table in (made.images, made.features, made.captions):
        del table["image_id"][-2]
        for name in set(table) - {"image_id"}:
            values = table[name]
            table[name] = (
                np.delete(values, -2, 0)
                if isinstance(values, np.ndarray)
                else [*values[:-2], values[-1]]
            )
    found = selected(store(made), test_by="variant")
    assert found.test.table.num_rows == 2 * (2 * 48 - 2)
    assert found.test.notes == (
        "1 images that are not in every variant left out, so that all variants are of the same "
        "images",
        "1 images that failed in a variant left out, so that all variants are of the same images",
    )


def test_variants_that_are_not_there_or_not_computed_are_said(content, store, tmp_path):
    made = content()
    with pytest.raises(UserError, match="there are no variants of the test images") as caught:
        selected(store(made), test_by="variant")
    assert "variants: {test: [jpeg_50]}" in caught.value.hint
    made.perturb("jpeg_50")
    made.features = {name: values[:-3] for name, values in made.features.items()}
    with pytest.raises(UserError, match="3 of 192 variants of test images are not computed yet"):
        selected(store(made), test_by="variant")


def test_a_generator_whose_fakes_only_validation_has_is_no_unseen_one(content, store):
    """What is chosen on it knows it: it must be in no mean over the unseen."""
    found = selected(
        store(content()),
        train=f"({TRAIN}) or (generator = 'vae' and split = 'train' and label = 0)",
        validation="generator = 'vae' and split = 'train' and label = 1 "
        "or generator = 'gan' and split = 'test'",
        test="split = 'test' and generator <> 'gan'",
        allow_overlap=True,
    )
    assert found.train.faked_by == {"gan"} and found.known == {"gan", "vae"}
    assert found.overlap == ["vae"]
