import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap as scipys

from pipeline.head.figures import bootstrap
from pipeline.head.figures.bootstrap import OneGenerator, resample
from pipeline.head.figures.evaluate import measure, split
from pipeline.head.figures.populations import populations

# gan and vae are measured against the same four reals, flow against two of its own
IDS = np.array([0, 1, 2, 3, 10, 11, 0, 1, 2, 3, 20, 4, 5, 30])
LABEL = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1])
GROUPS = {"gan": np.arange(6), "vae": np.arange(6, 11), "flow": np.arange(11, 14)}


def drawn(found, times):
    """How often each real and each fake of a group is drawn, of its two populations."""
    (counts,) = bootstrap._counts(found, times)
    whole = (counts[one.key] for one in found)
    return [
        of if one.members is None else of[:, one.members]
        for of, one in zip(whole, found, strict=True)
    ]


def counts(group, times=200):
    return drawn(populations(IDS, LABEL, GROUPS, 0)[group], times)


def test_an_image_that_generators_share_is_drawn_once_for_all_of_them():
    gan, vae, flow = (counts(name) for name in GROUPS)
    assert np.array_equal(gan[0], vae[0]) and (gan[0].sum(1) == 4).all()
    assert len(np.unique(gan[0], axis=0)) > 20
    assert (gan[1].sum(1) == 2).all() and (vae[1].sum(1) == 1).all()
    assert (flow[0].sum(1) == 2).all()


def test_generators_that_share_a_part_of_their_reals_draw_from_all_of_them():
    groups = {"gan": np.arange(3), "vae": np.arange(3, 7)}
    ids, label = np.array([0, 1, 2, 1, 2, 3, 4]), np.zeros(7, int)
    found = populations(ids, label, groups, 0)
    of = {name: drawn(one, 500)[0] for name, one in found.items()}
    assert np.array_equal(of["gan"][:, 1:], of["vae"][:, :2])  # images 1 and 2
    total = of["gan"].sum(1) + of["vae"][:, 2:].sum(1)
    assert (total == 5).all() and of["gan"].sum(1).std() > 0.5
    assert found["gan"][1].size == 0  # of fakes there is none


def test_a_chain_of_shared_images_is_one_population():
    groups = {"a": np.array([0, 1]), "b": np.array([2, 3]), "c": np.array([4, 5])}
    ids = np.array([0, 1, 8, 9, 1, 8])  # c shares one image with each of the others
    found = populations(ids, np.zeros(6, int), groups, 0)
    assert [found[name][0].size for name in "abc"] == [4, 4, 4]


def test_other_generators_change_nothing_for_those_that_share_nothing_with_them():
    alone = populations(IDS, LABEL, {"flow": GROUPS["flow"]}, 0)["flow"]
    beside = populations(IDS, LABEL, GROUPS, 0)["flow"]
    assert all(map(np.array_equal, drawn(alone, 9), drawn(beside, 9)))
    other_seed = populations(IDS, LABEL, GROUPS, 1)["flow"]
    assert other_seed[0].seed != beside[0].seed


def of_generators(shared, number=3, n=80):
    """Scores of `number` generators of n reals and n fakes, and their table."""
    rng = np.random.default_rng(4)
    reals = rng.standard_normal(n)
    rows = []
    for generator in range(number):
        own = reals if shared else rng.standard_normal(n)
        for place, value in enumerate(own):
            rows.append((f"r{place if shared else (generator, place)}", 0, f"g{generator}", value))
        for place, value in enumerate(rng.standard_normal(n) + 0.8):
            rows.append((f"f{generator, place}", 1, f"g{generator}", value))
    ids, label, generator, score = zip(*rows, strict=True)
    test = {
        "image_id": ids,
        "label": label,
        "generator": generator,
        "variant": ["clean"] * len(ids),
    }
    return pa.table(test), 1 / (1 + np.exp(0.4 - np.array(score)))


@pytest.mark.parametrize("shared", [True, False])
def test_the_means_interval_is_scipys_bootstrap_of_the_same_images(shared):
    """An independent implementation: resampled are reals and fakes, each image of its own once."""
    test, p = of_generators(shared)
    found = split(measure(test, {"m": p}, set(), resamples=4000)[0])[1].to_pylist()[0]
    label, of = test["label"].to_numpy(), np.array(test["generator"])
    right = ((p >= 0.5) == label).astype(float)
    cells = {(g, value): right[(of == g) & (label == value)] for g in set(of) for value in (0, 1)}
    # balanced accuracy's mean is one over all cells; shared reals are one sample, not three
    samples = [cells[key] for key in sorted(cells) if key[1] == 1 or not shared]
    weights = np.full(len(samples), 1 / 6)
    if shared:
        samples, weights = [*samples, cells["g0", 0]], np.append(weights, 0.5)

    def mean(*drawn, axis=-1):
        return sum(w * one.mean(axis=axis) for w, one in zip(weights, drawn, strict=True))

    theirs = scipys(samples, mean, n_resamples=4000, method="percentile", random_state=1)
    interval = theirs.confidence_interval
    own = found["balanced_accuracy_low"], found["balanced_accuracy_high"]
    assert own == pytest.approx((interval.low, interval.high), abs=0.006)
    assert found["balanced_accuracy"] == pytest.approx(mean(*samples), abs=1e-12)


def test_shared_reals_make_the_interval_of_a_mean_wider():
    wide, narrow = (
        split(measure(test, {"m": p}, set(), resamples=500)[0])[1]
        for test, p in map(of_generators, (True, False))
    )
    widths = [(one["ap_high"][0].as_py() - one["ap_low"][0].as_py()) for one in (wide, narrow)]
    assert widths[0] > 1.15 * widths[1]


def test_resampling_needs_no_more_than_the_group_itself():
    found = populations(IDS, LABEL, GROUPS, 0)["vae"]
    rows = GROUPS["vae"]
    (samples,) = resample([OneGenerator(LABEL[rows], np.linspace(0, 1, 5)[None], found)], 10)
    assert samples["ap"].shape == (1, 10)


@pytest.mark.parametrize("apart", [False, True])
def test_generators_that_share_reals_are_measured_as_each_alone(apart):
    """Reals with the same scores are added up once for all; with others, each for itself."""
    found = populations(IDS, LABEL, GROUPS, 0)
    p = np.random.default_rng(3).random((2, len(IDS)))
    if not apart:
        p[:, 6:10] = p[:, :4]  # the same image, the same score
    tested = [OneGenerator(LABEL[rows], p[:, rows], found[name]) for name, rows in GROUPS.items()]
    for together, one in zip(resample(tested, 50), tested, strict=True):
        (alone,) = resample([one], 50)
        for name in bootstrap.NAMES:
            assert np.array_equal(together[name], alone[name], equal_nan=True)
    rankings = bootstrap._rankings(tested, 0)
    assert (rankings[0].reals is rankings[1].reals) is not apart
