"""The figures, on rows by hand."""

import base64
import csv
import io

import pyarrow as pa

from pipeline.pages.figures import curves
from pipeline.pages.figures.distributions import distribution
from pipeline.pages.figures.global_local import global_local
from pipeline.pages.figures.robustness import robustness
from pipeline.pages.figures.standing import standing


def data(figure):
    text = base64.b64decode(figure.csv.partition(",")[2]).decode()
    return list(csv.DictReader(io.StringIO(text)))


def row(method, variant="clean", ap=0.9, **more):
    about = {"method": method, "variant": variant, "ap": ap, "chance": 0.5, "ap_less_clean": None}
    about |= {"scope": "generator", "generator": "gan", "seen": False, "ap_low": None}
    return {**about, "ap_high": None, **more}


def test_all_of_few_generators_are_drawn_and_the_extremes_of_many():
    few = dict.fromkeys("abc", 0.5)
    assert curves.drawn(few) == ["a", "b", "c"]
    many = {f"g{number}": number / 20 for number in range(20)}
    assert curves.drawn(many) == ["g0", "g1", "g2", "g3", "g16", "g17", "g18", "g19"]


def test_curves_of_each_generator_with_their_figure():
    points = pa.Table.from_pylist(
        [
            {"generator": g, "threshold": t, "fpr": f, "tpr": r, "precision": 1.0}
            for g in ("gan", None)
            for t, f, r in ((0.9, 0.0, 0.5), (0.1, 1.0, 1.0))
        ]
    )
    figure = curves.roc(points, {"gan": 0.75, None: None}, "global")
    assert [mark.text for mark in figure.legend] == ["gan 0.750", "(none) \N{EN DASH}"]
    assert "gan 0.750" in figure.alt
    assert [one["tpr"] for one in data(figure)] == ["0.5", "1.0"] * 2
    figure = curves.precision_recall(points, {"gan": 0.8}, {"gan": 0.5}, "global")
    assert len(figure.legend) == 1


def test_one_figure_a_kind_of_perturbation():
    rows = [row("m", "clean"), row("m", "jpeg_75", 0.8), row("m", "jpeg_25", 0.7)]
    rows += [row("m", "noise_0.001", 0.85), row("n", "clean", None)]
    figures = robustness(rows, ["m"], "across")
    assert [figure.title for figure in figures] == ["Figure 4: noise", "Figure 4: jpeg"]
    assert "clean 0.900, jpeg_75 0.800, jpeg_25 0.700" in figures[1].alt
    assert [one["variant"] for one in data(figures[1])] == ["clean", "jpeg_75", "jpeg_25", "clean"]
    chain = robustness([row("m"), row("m", "square_224+jpeg_90", 0.5)], ["m"], "across")
    assert chain[0].title == "Figure 4: square + jpeg"


def test_three_heads_by_generator():
    rows = [row(m, ap_low=0.8, ap_high=1.0) for m in ("global", "local", "global+local", "k-NN")]
    figure = global_local(rows, "across", "intervals")
    assert [one["method"] for one in data(figure)] == ["global", "local", "global+local"]
    assert "gan: global 0.900" in figure.alt


def test_a_histogram_falls_to_zero_where_no_image_is():
    bins = pa.table(
        {
            "generator": ["gan"] * 3,
            "level": ["global"] * 3,
            "bin_from": [0.0, 0.1, 0.4],
            "bin_to": [0.1, 0.2, 0.5],
            "reals": [1, 3, 0],
            "fakes": [0, 0, 2],
            "real_share": [0.25, 0.75, 0.0],
            "fake_share": [0.0, 0.0, 1.0],
            "against": ["all"] * 3,
        }
    )
    figure = distribution(bins, "gan", 0, "No difference.")
    assert [mark.text for mark in figure.legend] == ["reals (4)", "fakes (2)"]
    assert figure.caption.endswith("all of the DAG.")
    assert "global mean of 4 reals 0.125" in figure.alt
    assert "global mean of 2 fakes 0.450" in figure.alt


def test_an_image_stands_among_all_by_level():
    bins = pa.table(
        {
            "level": ["global", "global", "local"],
            "bin_from": [0.0, 0.5, 0.25],
            "bin_to": [0.5, 1.0, 0.75],
            "reals": [1, 3, 4],
            "fakes": [0, 0, 0],
            "real_share": [0.25, 0.75, 1.0],
            "fake_share": [None, None, None],
        }
    )
    ranks = {"cosine": 0.625, "distance": 0.75, "among_reals": 0.5, "among_fakes": None}
    own = {"global": {**ranks, "reals": 4, "fakes": 0}}
    figure = standing(bins, own)
    said = "global cosine 0.625 (distance 0.750), above that of 50.0% of the reals."
    assert figure.alt.endswith(f"with those of this image: {said}")
    assert figure.caption.endswith(said)
    assert [mark.text for mark in figure.legend] == ["reals (4)", "fakes (0)", "this image"]
    assert ">0.625<" in figure.svg
    assert "local" not in figure.svg  # it has no objects
    assert [(one["bin_to"], one["cosine_of_image"]) for one in data(figure)] == [
        ("0.5", "0.625"),
        ("1.0", "0.625"),
        ("0.75", ""),
    ]
