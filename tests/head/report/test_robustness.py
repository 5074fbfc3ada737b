"""The table of variants: what its cells say, and which rows it has."""

import io

from pipeline.head.report.robustness import robustness, robustness_lines


def row(variant, ap, less=None, interval=(None, None), **about):
    figures = {"ap": ap, "ap_less_clean": less, "accuracy": ap, "accuracy_less_clean": less}
    figures |= {"ap_less_clean_low": interval[0], "ap_less_clean_high": interval[1]}
    shared = {"method": "head", "scope": "mean", "generator": None, "generators": 2}
    shared |= {"seen": False, "configuration": "{}", "chance": 0.3}
    return {"variant": variant, **shared, **figures, **about}


ROWS = [
    row("jpeg_50", 0.9, -0.05, (-0.07, -0.03)),
    row("clean", 0.95),
    row("blur_1", 0.955, 0.005, (-0.01, 0.02)),
]
OF_FLOW = {"scope": "generator", "generator": "flow", "generators": 1}


def test_a_cell_has_the_figure_its_change_and_a_sign_that_the_change_may_be_none():
    assert robustness(ROWS, "ap").to_pylist() == [
        {
            "method": "head",
            "generator": "mean of 2 unseen",
            "clean": "0.950",
            "blur_1": "0.955 +.005~",
            "jpeg_50": "0.900 -.050",
        }
    ]


def test_generators_have_rows_where_they_are_asked_for_or_there_is_no_mean():
    rows = [row("clean", 0.8, **OF_FLOW), row("jpeg_50", None, **OF_FLOW), *ROWS]
    table = robustness(rows, "ap", by_generator=True)
    assert table["generator"].to_pylist() == ["flow", "mean of 2 unseen"]
    assert table["clean"].to_pylist() == ["0.800", "0.950"]
    assert table["jpeg_50"].to_pylist() == [None, "0.900 -.050"]
    assert robustness(rows, "ap").num_rows == 1
    assert robustness(rows[:2], "ap")["generator"].to_pylist() == ["flow"]


def test_runs_of_a_sweep_have_rows_of_their_own_and_no_intervals():
    rows = [
        row(variant, ap, less, ap_std=0.1, configuration=f"pooling {pooling}")
        for pooling in ("mean", "top_k")
        for variant, ap, less in (("clean", 0.9, None), ("blur_1", 0.8, -0.1))
    ]
    table = robustness(rows, "ap")
    assert table["configuration"].to_pylist() == ["pooling mean", "pooling top_k"]
    assert table["blur_1"].to_pylist() == ["0.800 -.100"] * 2


def test_what_all_rows_are_of_is_said_once():
    stream = io.StringIO()
    stream.writelines(f"{line}\n" for line in robustness_lines(ROWS, False))
    text = stream.getvalue()
    assert text.startswith("average precision, mean of 2 unseen (0.300 by chance): on clean")
    assert "accuracy at 0.5, mean of 2 unseen" in text
    assert text.count("mean of 2 unseen") == 2
    assert "~: the change's 95 % interval holds 0" in text
