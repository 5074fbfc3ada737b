import pytest

from pipeline.audit.finding import Finding, of_auroc, of_share, percent, summary, worse


@pytest.mark.parametrize(
    ("low", "verdict"),
    [(0.4, "ok"), (0.599, "ok"), (0.6, "look"), (0.749, "look"), (0.75, "leak"), (1.0, "leak")],
)
def test_the_lower_end_of_an_auroc_decides(low, verdict):
    assert of_auroc(low) == verdict
    assert of_auroc(low, "look") == {"leak": "look"}.get(verdict, verdict)


@pytest.mark.parametrize(
    ("share", "exact", "near"),
    [(0, "ok", "ok"), (0.0005, "look", "ok"), (0.001, "look", "look"), (0.01, "leak", "leak")],
)
def test_any_copy_is_a_look_and_some_neighbours_are(share, exact, near):
    assert of_share(share, 0.0) == exact
    assert of_share(share, 0.001) == near


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0, "0 %"), (1, "100 %"), (0.12, "12 %"), (0.034, "3.4 %")),
        *((0.0004, "<0.1 %"), (0.999, "99.9 %"), (0.99999, "99.9 %"), (0.994, "99 %")),
    ],
)
def test_a_share_is_all_only_where_it_is_all(share, text):
    assert percent(share) == text


def test_the_worse_verdict_counts():
    assert worse("ok", "leak") == worse("leak", "look") == "leak"
    assert worse("not judged", "ok") == "ok"


def test_summary_leaves_out_what_there_is_none_of():
    found = [Finding("a", "", verdict) for verdict in ("leak", "ok", "ok", "not judged")]
    assert summary(found) == "2 ok, 1 leak, 1 not judged"
