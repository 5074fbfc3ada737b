"""`hypothesis`, `versus_reals` and what shares it, by hand and against scipy, on made-up stores."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from pipeline.query.questions import connect, execute
from tests.sql.conftest import answer, written

FIELDS = ("generator", "level", "verdict", "reals", "fakes")
GRID = 1 / 4096  # cosines on it lie on the steps that are ranked, and tie as they are


class Corpus:
    """Images one by one; `store` opens what was added."""

    def __init__(self, folder):
        self.folder, self.listed, self.rows, self.images = folder, [], [], []

    def add(self, generators, label, cosine, objects=(), variants=None):
        """An image, listed under each of these generators, with its cosines; returns its id."""
        image = f"{len(self.images):032x}"
        for number, generator in enumerate(generators):
            self.listed.append((f"{image}-{number}", image, label, generator))
        self.images.append(image)
        for name, value in {"": cosine, **(variants or {})}.items():
            self.rows.append((f"{image}{name and '-'}{name}", "global", None, value))
        self.rows += [(image, "local", number, value) for number, value in enumerate(objects)]
        return image

    def many(self, generators, label, cosines):
        return [self.add(generators, label, cosine) for cosine in cosines]

    def store(self):
        uri, image_id, label, generator = zip(*self.listed, strict=True)
        listing = {"uri": uri, "image_id": image_id, "label": label, "generator": generator}
        keys = ("image_id", "level", "object_no", "cosine")
        misalignment = dict(zip(keys, zip(*self.rows, strict=True), strict=True))
        images = {"image_id": [row[0] for row in self.rows if row[1] == "global"]}
        images["variant"] = [name[33:] or "clean" for name in images["image_id"]]
        made = {"listing": listing, "misalignment": misalignment, "images": images}
        path = self.folder / "part-00000-0123abcd.parquet"
        nodes = {}
        for name, columns in made.items():
            columns = {key: list(values) for key, values in columns.items()}
            nodes[name] = (name, [written(path.parent / name / path.name, name, columns)])
        return connect(nodes)


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path)


def near(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def row(connection, generator, level="global", given=()):
    rows = execute(connection, "from versus_reals('clean', null)", given).to_pylist()
    return next(r for r in rows if (r["generator"], r["level"]) == (generator, level))


def placements(reals, fakes):
    """Of each real the share of fakes below it, of each fake that of reals above: pair by pair."""
    wins = (reals[:, None] > fakes) + (reals[:, None] == fakes) / 2
    return wins.mean(axis=1), wins.mean(axis=0)


def test_by_hand(corpus):
    corpus.many(["g"], 0, [0.625, 0.875])
    corpus.many(["g"], 1, [0.25, 0.5])
    connection = corpus.store()
    # both variances 1/32: a squared standard error of 1/32, and 2 degrees of freedom,
    # where p = 1 - t / sqrt(t² + 2) and the bound is 4.302652729911275
    t = 0.375 * sqrt(32)
    reach = 4.302652729911275 / sqrt(32)
    columns = ("difference", "low", "high", "p", "cosine_real", "cosine_fake", "against")
    expected = (0.375, near(0.375 - reach), near(0.375 + reach), near(1 - t / sqrt(t * t + 2)))
    assert answer(connection, "hypothesis", *columns) == [(*expected, 0.75, 0.375, "own")]
    assert answer(connection, "hypothesis", *FIELDS) == [("g", "global", "no difference", 2, 2)]
    columns = ("delta", "delta_low", "delta_high")
    assert answer(connection, "hypothesis", *columns) == [(1, None, None)]  # no overlap at all


def test_cliffs_delta_and_its_interval_by_hand(corpus):
    corpus.many(["g"], 0, [0.25, 0.5])
    corpus.many(["g"], 1, [0.125, 0.5])
    # pairs: .25 > .125, .25 < .5, .5 > .125, .5 = .5: auroc 2.5/4; shares of reals 1/2 and 3/4, of
    # fakes 1 and 1/4: variances 1/32 and 9/32, each over 2 images
    auroc, error = 0.625, sqrt(1 / 64 + 9 / 64)
    reach = 1.959963984540054 * error / (auroc * (1 - auroc))
    low, high = (1 / (1 + (1 - auroc) / auroc * np.exp(sign * reach)) for sign in (1, -1))
    connection = corpus.store()
    columns = ("delta", "delta_low", "delta_high")
    assert answer(connection, "hypothesis", *columns) == [
        (0.25, near(2 * low - 1), near(2 * high - 1))
    ]
    columns = ("auroc", "auroc_low", "auroc_high", "delta", "reals", "fakes")
    assert answer(connection, "separability", *columns) == [
        (auroc, near(low), near(high), 0.25, 2, 2)
    ]
    assert answer(connection, "by_generator", "kind", "level", "delta") == [
        ("real", "global", None),
        ("fake", "global", 0.25),
        ("real", "local", None),
        ("fake", "local", None),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scipy(corpus, seed):
    rng = np.random.default_rng(seed)
    reals = np.round(rng.normal(0.75, 0.05, 60 + 40 * seed) / GRID) * GRID  # some tie
    fakes = np.round(rng.normal(0.75 - 0.02 * seed, 0.1, 45) / (GRID * 16)) * GRID * 16
    corpus.many(["g"], 0, reals)
    corpus.many(["g"], 1, fakes)
    found = row(corpus.store(), "g")
    welch = stats.ttest_ind(reals, fakes, equal_var=False)
    interval = welch.confidence_interval()
    assert found["difference"] == near(reals.mean() - fakes.mean())
    assert (found["low"], found["high"]) == (near(interval.low), near(interval.high))
    assert found["p"] == near(welch.pvalue)
    pairs = len(reals) * len(fakes)
    assert found["auroc"] == near(stats.mannwhitneyu(reals, fakes).statistic / pairs)
    of_reals, of_fakes = placements(reals, fakes)
    error = sqrt(of_reals.var(ddof=1) / len(reals) + of_fakes.var(ddof=1) / len(fakes))
    assert (0.5 - found["auroc"]) / error == near(stats.brunnermunzel(reals, fakes).statistic)
    reach = stats.norm.ppf(0.975) * error / (found["auroc"] * (1 - found["auroc"]))
    logit = np.log(found["auroc"] / (1 - found["auroc"]))
    for name, end in (("auroc_low", logit - reach), ("auroc_high", logit + reach)):
        assert found[name] == near(1 / (1 + np.exp(-end)))


@pytest.mark.parametrize("df", [1, 1.5, 2, 3, 17.3, 400, 1e6])
def test_students_t(connection, df):
    sql = "-- param df number 1: x\n-- param t number 1: x\nselect t_bound($df) as bound, "
    sql += "t_area($t, $df) / t_area(0, $df) as p"
    for t in (0, 0.3, 2, 9, 40):
        found = execute(connection, sql, [f"df={df}", f"t={t}"]).to_pylist()[0]
        assert found["bound"] == pytest.approx(stats.t.ppf(0.975, df), rel=1e-10)
        assert found["p"] == pytest.approx(2 * stats.t.sf(t, df), rel=1e-10)


def test_the_mean_takes_an_image_of_several_generators_as_one_draw(corpus):
    """Against sums over the images, each with what it adds to the mean over the generators."""
    rng = np.random.default_rng(0)

    def drawn(mean, count):
        return np.round(rng.normal(mean, 0.1, count) / GRID) * GRID

    sides = {name: {0: [], 1: []} for name in "abc"}
    for names, label, count, mean in (
        ("abc", 0, 30, 0.75),
        ("ab", 0, 10, 0.7),
        ("c", 0, 12, 0.8),
        ("a", 1, 25, 0.6),
        ("bc", 1, 9, 0.65),
        ("b", 1, 20, 0.7),
        ("c", 1, 15, 0.75),
    ):
        for cosine in drawn(mean, count):
            image = corpus.add(list(names), label, cosine)
            for name in names:
                sides[name][label].append((image, cosine))
    differences, aurocs = [], []
    moved = {"difference": {}, "auroc": {}}
    for kinds in sides.values():
        reals, fakes = (np.array([cosine for _, cosine in kinds[label]]) for label in (0, 1))
        differences.append(reals.mean() - fakes.mean())
        shares = placements(reals, fakes)
        aurocs.append(shares[0].mean())
        for label, sign in ((0, 1), (1, -1)):
            own, share = (reals, fakes)[label], shares[label]
            weight = 1 / sqrt(len(own) * (len(own) - 1)) / 3
            for (image, _), cosine, part in zip(kinds[label], own, share, strict=True):
                of = moved["difference"], moved["auroc"]
                of[0][image] = of[0].get(image, 0) + sign * weight * (cosine - own.mean())
                of[1][image] = of[1].get(image, 0) + weight * (part - share.mean())
    connection = corpus.store()
    found, single = row(connection, None), [row(connection, name) for name in "abc"]
    assert found["generators"] == 3 and found["against"] is None
    assert found["reals"] == 30 * 3 + 10 * 2 + 12 and found["fakes"] == 25 + 9 * 2 + 20 + 15
    assert found["difference"] == near(np.mean(differences))
    assert found["auroc"] == near(np.mean(aurocs))
    bounds = [
        stats.ttest_ind(
            *(np.array([c for _, c in sides[n][label]]) for label in (0, 1)), equal_var=False
        ).df
        for n in "abc"
    ]
    error = sqrt(sum(value**2 for value in moved["difference"].values()))
    reach = stats.t.ppf(0.975, min(bounds)) * error
    assert found["low"] == near(found["difference"] - reach)
    assert found["high"] - found["difference"] == near(reach)
    error = sqrt(sum(value**2 for value in moved["auroc"].values()))
    reach = stats.norm.ppf(0.975) * error / (found["auroc"] * (1 - found["auroc"]))
    odds = found["auroc"] / (1 - found["auroc"])
    assert found["auroc_low"] == near(1 / (1 + np.exp(reach) / odds))
    # taken for separate, the three would seem to know more than they do
    apart = sqrt(sum((one["high"] - one["low"]) ** 2 for one in single)) / 3
    assert found["high"] - found["low"] > 1.1 * apart


def test_a_generator_without_reals_is_measured_against_all_of_them_each_once(corpus):
    corpus.many(["a"], 0, [0.5, 0.75])
    corpus.many(["a", "b"], 0, [1.0])
    corpus.many(["a"], 1, [0.25, 0.5])
    corpus.many(["b"], 1, [0.25, 0.375])
    corpus.many(["c"], 1, [0.25, 0.375])
    corpus.many(["only_real"], 0, [0.0])
    connection = corpus.store()
    columns = ("generator", "reals", "fakes", "cosine_real", "against")
    assert answer(connection, "hypothesis", *columns) == [
        ("a", 3, 2, 0.75, "own"),
        ("b", 1, 2, 1.0, "own"),
        ("c", 4, 2, 0.5625, "all"),
        ("mean of 2", 7, 4, 0.65625, None),
    ]
    rows = [("a", 3, 2, 0.75, "a"), ("b", 3, 2, 0.75, "a"), ("c", 3, 2, 0.75, "a")]
    rows.append(("mean of 3", 9, 6, 0.75, None))
    assert answer(connection, "hypothesis", *columns, given=("reals=a",)) == rows
    none = answer(connection, "hypothesis", *columns[:3], "verdict", given=("reals=c",))
    assert none == [(name, 0, 2, "too few") for name in "abc"]
    deltas = answer(connection, "by_generator", "generator", "level", "delta")
    assert [row[2] for row in deltas if row[:2] == ("c", "global")] == [None]  # has no own
    assert answer(connection, "separability", "generator", "reals") == [
        ("a", 3),
        ("b", 1),
        ("c", 4),
    ]


def test_what_does_not_count(corpus):
    corpus.many(["g"], 0, [0.5, 0.75])
    corpus.many(["g"], 1, [0.25, 0.375])
    expected = answer(corpus.store(), "hypothesis", *FIELDS, "difference", "delta")
    twice = corpus.add(["g", "g"], 0, 1.0)  # as real, and as fake elsewhere
    corpus.listed.append((f"{twice}-2", twice, 1, "h"))
    corpus.add(["g"], None, 1.0)
    corpus.add(["g"], 1, None)  # could not be measured
    corpus.add(["g"], 0, None, variants={"jpeg_50": 1.0})
    corpus.listed.append(("again", corpus.images[0], 0, "g"))
    corpus.folder = corpus.folder / "more"
    connection = corpus.store()
    assert answer(connection, "hypothesis", *FIELDS, "difference", "delta") == expected
    columns = ("generator", "kind", "variant", "images", "measured")
    assert [
        r for r in answer(connection, "by_generator", *columns, "level") if r[5] == "global"
    ] == [
        ("g", "real", "clean", 3, 2, "global"),
        ("g", "real", "jpeg_50", 1, 1, "global"),
        ("g", "fake", "clean", 3, 2, "global"),
        ("g", None, "clean", 2, 2, "global"),
        ("h", None, "clean", 1, 1, "global"),
    ]


def test_local_cosines_are_means_over_the_objects_of_images_that_have_some(corpus):
    corpus.add(["g"], 0, 0.5, [0.5, 1.0])
    corpus.add(["g"], 0, 0.5, [0.5])
    corpus.add(["g"], 0, 0.5)
    corpus.add(["g"], 1, 0.5, [0.25])
    corpus.add(["g"], 1, 0.25, [0.375, 0.5, None])
    found = answer(corpus.store(), "hypothesis", *FIELDS[1:], "cosine_real", "cosine_fake")
    assert found == [
        ("global", "no difference", 3, 2, 0.5, 0.375),
        ("local", "no difference", 2, 2, 0.625, 0.34375),
    ]


@pytest.mark.parametrize(
    ("reals", "fakes"), [([0.5], [0.25, 0.5]), ([0.5, 0.75], [0.25]), ([], [0.5, 0.25])]
)
def test_too_few_images(corpus, reals, fakes):
    corpus.many(["g"], 0, reals)
    corpus.many(["g"], 1, fakes)
    columns = ("verdict", "low", "high", "p", "delta_low")
    assert answer(corpus.store(), "hypothesis", *columns) == [("too few", None, None, None, None)]


def test_cosines_that_never_differ(corpus):
    corpus.many(["none"], 0, [0.3] * 3)
    corpus.many(["none"], 1, [0.1] * 2)
    corpus.many(["fakes"], 0, [0.7] * 3)
    corpus.many(["fakes"], 1, [0.1, 0.2, 0.4])
    columns = ("generator", "verdict", "low", "delta")
    found = answer(corpus.store(), "hypothesis", *columns)
    half = stats.t.ppf(0.975, 2) * np.std([0.1, 0.2, 0.4], ddof=1) / sqrt(3)
    low = pytest.approx(0.7 - 0.7 / 3 - half, abs=1e-6)
    assert found == [("fakes", "fakes align worse", low, 1), ("none", "too few", None, 1)]


def test_verdicts_with_holms_correction(corpus):
    """Of 3 generators and their mean: the smallest p counts four times, the next three times …"""
    rng = np.random.default_rng(1)
    noise = np.round(rng.normal(0, 0.05, 40) / GRID) * GRID
    for name, shift in (("better", -0.125), ("same", 0.0), ("worse", 344 / 4096)):
        corpus.many([name], 0, 0.5 + noise)
        corpus.many([name], 1, 0.5 + noise - shift)
    connection = corpus.store()
    rows = execute(connection, "from versus_reals('clean', null)").to_pylist()
    p = {row["generator"] or "mean of 3": row["p"] for row in rows}
    ordered = sorted(p, key=p.get)
    holm, highest = {}, 0.0
    for place, name in enumerate(ordered):
        highest = max(highest, min(1.0, p[name] * (4 - place)))
        holm[name] = highest
    assert (
        ordered[:3] == ["better", "worse", "mean of 3"]
        and p["mean of 3"] < 0.05 < holm["mean of 3"]
    )
    columns = ("generator", "p", "verdict")
    assert answer(connection, "hypothesis", *columns) == [
        ("better", near(holm["better"]), "fakes align better"),
        ("same", near(holm["same"]), "no difference"),
        ("worse", near(holm["worse"]), "fakes align worse"),
        ("mean of 3", near(holm["mean of 3"]), "no difference"),
    ]


def test_of_another_variant(corpus):
    corpus.many(["g"], 0, [0.5, 0.75])
    for cosine in (0.25, 0.375):
        corpus.add(["g"], 1, 0.5, variants={"jpeg_50": cosine})
    for cosine in (0.5, 1.0):
        corpus.add(["g"], 0, None, variants={"jpeg_50": cosine})
    connection = corpus.store()
    columns = ("reals", "fakes", "difference")
    assert answer(connection, "hypothesis", *columns) == [(2, 2, 0.125)]
    given = ("variant=jpeg_50",)
    assert answer(connection, "hypothesis", *columns, given=given) == [(2, 2, 0.4375)]


def test_a_corpus_without_labelled_fakes_has_no_rows(corpus):
    corpus.many(["g"], 0, [0.5, 0.75])
    corpus.many(["g"], None, [0.5, 0.75])
    assert answer(corpus.store(), "hypothesis", "generator") == []


def test_intervals_of_means_are_students(corpus):
    cosines = [0.25, 0.5, 0.625]
    corpus.many(["g"], 1, cosines)
    found = answer(corpus.store(), "by_generator", "level", "cosine", "low", "high", "sd")[0]
    low, high = stats.t.interval(0.95, 2, np.mean(cosines), stats.sem(cosines))
    assert found == (
        "global",
        near(np.mean(cosines)),
        near(low),
        near(high),
        near(np.std(cosines, ddof=1)),
    )


def test_of_the_known_store(connection):
    """What is listed decides whose reals count: biggan's own one could not be decoded."""
    assert answer(connection, "hypothesis", *FIELDS, "against", "delta") == [
        ("biggan", "global", "too few", 0, 1, "own", None),
        ("progan", "global", "too few", 1, 1, "own", 1.0),
        ("sdxl", "global", "too few", 1, 1, "all", 1.0),
        ("progan", "local", "too few", 1, 1, "own", 1.0),
        ("sdxl", "local", "too few", 1, 0, "all", None),  # its caption names no object
    ]
