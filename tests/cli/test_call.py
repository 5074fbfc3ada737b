from pathlib import Path

import pytest
import typer

from pipeline.cli.call import Call, reported

ADVICE = '`item run DAG --until features`; `item query DAG "select 1"`'


def test_advice_names_the_dag_of_the_command_and_can_be_copied():
    same = "'my dags/x.yaml' --set 'a.b=c d' --limit 20 --store /s"
    expected = f'`item run {same} --until features`; `item query {same} "select 1"`'
    assert Call("run", "my dags/x.yaml", ["a.b=c d"], 20, Path("/s")).addressed(ADVICE) == expected


def test_advice_repeats_no_default():
    assert Call("run", "demo").addressed("`item run DAG` first") == "`item run demo` first"


def test_models_have_no_store():
    advice = "`item models fetch demo --set lock=l` first"
    assert (
        Call("run", "demo", ["lock=l"], 3, Path("/s")).addressed("`item models fetch DAG` first")
        == advice
    )


def test_other_words_stay():
    assert Call("run").addressed(ADVICE) == ADVICE
    for text in ("the DAG has no experiments", "`item run DAGS`"):
        assert Call("run", "demo").addressed(text) == text


def test_ctrl_c_is_one_wherever_it_strikes(capsys):
    """DuckDB tells of it by a RuntimeError while it answers; any other one is a bug."""
    for error in (KeyboardInterrupt(), RuntimeError("Query interrupted")):
        with pytest.raises(typer.Exit) as end, reported("run", "demo"):
            raise error
        assert end.value.exit_code == 130
        said = "interrupted: finished parts and saved runs are kept; run the same command to go on"
        assert capsys.readouterr().err.strip() == said
    with pytest.raises(typer.Exit), reported("plan", "demo"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.strip() == "interrupted"  # it makes nothing that would be kept
    with pytest.raises(RuntimeError, match="a bug"), reported("run", "demo"):
        raise RuntimeError("a bug")
