import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from pipeline.corpus.variants import PRESETS
from pipeline.dag.experiment import Experiment
from pipeline.errors import UserError
from pipeline.head.rows.presets import expand
from pipeline.head.rows.selection import select


def expanded(connection, **raw):
    return expand(connection, Experiment.model_validate(raw), "x")


def ids(rows):
    return set(rows.table["image_id"].to_pylist())


def test_without_a_preset_an_experiment_is_itself(content, store):
    plain = Experiment(train="true", seed=3)
    assert expand(store(content()), plain, "x") == {"x": plain}


def test_leave_one_out_trains_on_all_others(content, store):
    connection = store(content())
    found = expanded(connection, preset="leave_one_out", seed=2)
    assert list(found) == ["x.flow", "x.gan", "x.vae"]
    for name, experiment in found.items():
        left_out = name.removeprefix("x.")
        assert (experiment.preset, experiment.seed) == (None, 2)
        selection = select(connection, experiment, name)
        assert selection.test.generators == {left_out}
        others = {"gan", "vae", "flow"} - {left_out}
        assert selection.train.generators == selection.validation.generators == others
        assert set(selection.train.table["split"].to_pylist()) == {"train"}
        assert set(selection.test.table["split"].to_pylist()) == {"test"}
        assert selection.overlap == []


def test_train_x_test_trains_on_each_and_tests_on_all(content, store):
    connection = store(content())
    found = expanded(connection, preset="train_x_test", test="split = 'test' and num_objects > 0")
    for name, experiment in found.items():
        selection = select(connection, experiment, name)
        assert selection.train.generators == {name.removeprefix("x.")}
        assert selection.test.generators == {"gan", "vae", "flow"}
        assert selection.overlap == [name.removeprefix("x.")]
        assert selection.test.table.num_rows == 3 * 42


def test_sets_of_real_images_go_with_every_run(content, store):
    made = content()
    for row, label in enumerate(made.listing["label"]):
        if label == 0:
            made.listing["generator"][row] = "photo's"
    connection = store(made)
    for preset in ("leave_one_out", "train_x_test"):
        found = expanded(connection, preset=preset)
        assert list(found) == ["x.flow", "x.gan", "x.vae"]
        selection = select(connection, found["x.vae"], "x.vae")
        assert "photo's" in selection.train.generators
        of_vae = selection.test.table.filter(pc.equal(selection.test.table["generator"], "vae"))
        assert of_vae["label"].to_pylist().count(0) == 72  # all photographs of the split
        assert not ids(selection.train) & ids(selection.test)


def test_generators_without_reals_are_measured_against_sets_without_fakes(content, store):
    made = content(generators=("guided", "dalle", "vae"))
    for row, (label, generator) in enumerate(
        zip(made.listing["label"], made.listing["generator"], strict=True)
    ):
        if label == 0 and generator != "vae":  # which keeps its own
            made.listing["generator"][row] = "imagenet" if generator == "guided" else "laion"
    connection = store(made)
    for preset in ("leave_one_out", "train_x_test"):
        found = expanded(connection, preset=preset)
        for name in ("guided", "dalle", "vae"):
            test = select(connection, found[f"x.{name}"], f"x.{name}").test.table.to_pylist()
            reals = {
                row["image_id"] for row in test if (row["generator"], row["label"]) == (name, 0)
            }
            start = {"guided": 48, "dalle": 144, "vae": 240}[name]
            assert reals == {f"{i:032x}" for i in range(start, start + 24)}
    stated = expanded(connection, preset="leave_one_out", reals="generator = 'vae'")["x.dalle"]
    assert stated.reals == "generator = 'vae'"


def test_runs_of_generators_in_any_script_keep_their_names_apart(content, store):
    names = ("可灵", "即梦", "a b", "a_b", "A_B")
    found = expanded(store(content(generators=names)), preset="leave_one_out")
    assert len(found) == 5 and {"x.可灵", "x.即梦", "x.A_B"} <= set(found)
    assert len({name.casefold() for name in found}) == 5  # also where a disk tells no case


def test_generators_are_those_that_train_selects(content, store):
    connection = store(content())
    some = expanded(connection, preset="train_x_test", train="split = 'train' and generator > 'g'")
    assert list(some) == ["x.gan", "x.vae"]
    with pytest.raises(UserError, match=r"needs several generators, and these rows have .* gan"):
        expanded(connection, preset="leave_one_out", train="generator = 'gan'")
    with pytest.raises(UserError, match=r"did you mean 'split'(?s:.*)") as error:
        expanded(connection, preset="leave_one_out", train="splt = 'train'")
    assert error.value.where == "experiments.x.train"


def test_the_published_protocols(content, store):
    made = content(generators=("progan", "sdv14", "biggan"))
    n = len(made.listing["uri"])
    made.listing["class_name"] = ["cat" if i % 2 else "dog" for i in range(n)]
    connection = store(made)
    four, twenty, sdv14 = (
        select(connection, expanded(connection, preset=preset)["x"], "x")
        for preset in ("progan_4", "progan_20", "sdv14_genimage")
    )
    counts = [one.train.table.num_rows + one.validation.table.num_rows for one in (four, twenty)]
    assert counts == [24, 48]
    assert four.train.generators == {"progan"}
    assert sdv14.train.generators == {"sdv14"}
    for one in (four, twenty, sdv14):
        assert one.test.table.num_rows == 3 * 48
    less = expanded(connection, preset="progan_20", test="generator <> 'progan'")["x"]
    assert select(connection, less, "x").overlap == []


def test_ablations_vary_what_the_paper_does_not_say(content, store):
    connection = store(content())
    figure5 = expanded(connection, preset="figure5", train="split = 'train'", features=["global"])
    assert figure5["x"].features == ("global", "local")
    ablation = expanded(connection, preset="ablation", train="split = 'train'", seed=[0, 1])["x"]
    runs = ablation.expand()
    assert len({(run.representation, run.pooling) for run in runs}) == 5 * 4
    assert len(runs) == 2 * 5 * 4


def test_train_may_be_missing_only_where_the_preset_brings_it():
    Experiment(preset="leave_one_out")
    for raw in ({}, {"preset": "figure5"}, {"preset": "ablation"}):
        with pytest.raises(ValueError, match="`train` is missing"):
            Experiment.model_validate(raw)
    with pytest.raises(ValueError, match="preset"):
        Experiment(train="true", preset="figure6")


def test_figure4_tests_by_variant(content, store):
    made = content()
    for variant in PRESETS["figure4"]:
        made.perturb(variant)
    both = {"train": "generator = 'gan' and split = 'train'", "test": "generator = 'vae'"}
    connection = store(made)
    (found,) = expanded(connection, preset="figure4", seed=[0, 1], **both).values()
    assert found == Experiment(**both, test_by="variant", seed=[0, 1])
    by_both = ["variant", "generator"]
    (found,) = expanded(connection, preset="figure4", test_by=by_both, **both).values()
    assert found.test_by == ("variant", "generator")
    both |= {"test": "split = 'test' and generator = 'vae'"}
    (found,) = expanded(connection, preset="figure4", **both).values()
    tested = select(connection, found, "x").test.table["variant"].to_pylist()
    assert list(dict.fromkeys(tested)) == ["clean", *PRESETS["figure4"]]


def test_figure4_says_which_variants_are_missing(content, store):
    made = content()
    made.perturb("jpeg_75")
    with pytest.raises(UserError, match=r"there is no noise_0.001, .*jpeg_50, jpeg_25") as caught:
        expanded(store(made), preset="figure4", train="true")
    assert caught.value.where == "experiments.x.preset"
    assert "variants: {test: figure4}" in caught.value.hint


DATES = {"gan": "2014-06-10", "vae": "2013-12-20", "flow": "2016-05-27"}


def test_temporal_trains_on_what_was_released_and_tests_what_came_later(content, store):
    made = content()
    for row, (label, generator) in enumerate(
        zip(made.listing["label"], made.listing["generator"], strict=True)
    ):
        if label == 0 and generator == "flow":
            made.listing["generator"][row] = "photographs"
    connection = store(made)
    until = ["2013-12-20", "2015-01-01"]
    found = expanded(connection, preset="temporal", released=DATES, until=until)
    assert list(found) == ["x.until_2013-12-20", "x.until_2015-01-01"]
    for experiment, known in zip(found.values(), ({"vae"}, {"vae", "gan"}), strict=True):
        assert experiment.preset is None and experiment.released == {}
        selection = select(connection, experiment, "x")
        assert selection.train.faked_by == selection.known == known
        assert selection.train.generators == {*known, "photographs"}
        assert selection.test.faked_by == {"gan", "vae", "flow"}  # flow beside the photographs
        assert set(selection.overlap) == known
        of_flow = selection.test.table.filter(pc.equal(selection.test.table["generator"], "flow"))
        assert of_flow["label"].to_pylist().count(0) == 24


@pytest.mark.parametrize(
    ("released", "until", "message"),
    [
        ({"gan": "2014-06-10"}, "2015-01-01", "when were these released: flow, vae?"),
        (DATES, "2013-01-01", "none of the generators were released by 2013-01-01: vae 2013-12"),
        (DATES, "2017-01-01", "all of the generators were released by 2017-01-01: vae 2013-12"),
    ],
)
def test_dates_that_are_missing_or_part_nothing_are_said(content, store, released, until, message):
    with pytest.raises(UserError) as caught:
        expanded(store(content()), preset="temporal", released=released, until=until)
    assert message in caught.value.what


def test_dates_of_the_corpus_count_where_the_experiment_names_none(content, store):
    made = content()
    listing = made.listing
    of = {**DATES, "vae": "2099-01-01"}
    listing["released"] = [
        of[one] if label else None
        for one, label in zip(listing["generator"], listing["label"], strict=True)
    ]
    given = {"released": {"vae": DATES["vae"]}, "until": "2015-01-01"}
    (found,) = expanded(store(made), preset="temporal", **given).values()
    given_all = given | {"released": DATES}
    (same,) = expanded(store(content()), preset="temporal", **given_all).values()
    assert found == same
    row = listing["released"].index(DATES["gan"])
    listing["released"][row] = "2014-06-11"
    with pytest.raises(UserError) as caught:
        expanded(store(made), preset="temporal", **given)
    assert "gan was released on 2014-06-10, and on 2014-06-11" in caught.value.what


def test_dates_belong_to_the_temporal_preset():
    with pytest.raises(ValidationError, match="`temporal` needs `until"):
        Experiment(preset="temporal", released=DATES)
    with pytest.raises(ValidationError, match="are for `preset: temporal`"):
        Experiment(train="true", until="2015-01-01")
    with pytest.raises(ValidationError, match="date"):
        Experiment(preset="temporal", released={"gan": "in 2014"}, until="2015-01-01")


def test_cross_dataset_trains_on_one_and_tests_on_another(content, store):
    made = content()
    for row, generator in enumerate(made.listing["generator"]):
        made.listing["dataset"][row] = "old" if generator == "gan" else "new"
        if generator == "vae" and made.listing["split"][row] == "test":
            made.listing["dataset"][row] = "tested only"
    connection = store(made)
    found = expanded(connection, preset="cross_dataset", seed=4)
    assert list(found) == [
        *("x.new_on_old", "x.new_on_tested_only"),
        "x.old_on_new",
        "x.old_on_tested_only",
    ]
    selection = select(connection, found["x.new_on_tested_only"], "x")
    assert selection.train.generators == {"flow", "vae"}
    assert selection.test.generators == {"vae"} and selection.overlap == ["vae"]
    assert found["x.old_on_new"].seed == 4
    assert select(connection, found["x.old_on_new"], "x").test.generators == {"flow"}
    with pytest.raises(UserError, match="cross_dataset needs several datasets"):
        expanded(
            connection, preset="cross_dataset", train="dataset = 'old'", test="dataset = 'old'"
        )
