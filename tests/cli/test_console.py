from pathlib import Path

import pytest
import typer

from pipeline.cli.console import addressed, reported

ADVICE = '`item run DAG --until features`; `item query DAG "select 1"`'


def test_advice_names_the_dag_of_the_command_and_can_be_copied():
    same = "'my dags/x.yaml' --set 'a.b=c d' --limit 20 --store /s"
    expected = f'`item run {same} --until features`; `item query {same} "select 1"`'
    assert addressed(ADVICE, "my dags/x.yaml", ["a.b=c d"], 20, Path("/s")) == expected


def test_advice_repeats_no_default():
    assert addressed("`item run DAG` first", "demo") == "`item run demo` first"


def test_models_have_no_store():
    advice = "`item models fetch demo --set lock=l` first"
    assert addressed("`item models fetch DAG` first", "demo", ["lock=l"], 3, Path("/s")) == advice


def test_other_words_stay():
    assert addressed(ADVICE, None) == ADVICE
    for text in ("the DAG has no experiments", "`item run DAGS`"):
        assert addressed(text, "demo") == text


def test_ctrl_c_is_one_wherever_it_strikes(capsys):
    """DuckDB tells of it by a RuntimeError while it answers; any other one is a bug."""
    for error in (KeyboardInterrupt(), RuntimeError("Query interrupted")):
        with pytest.raises(typer.Exit) as end, reported():
            raise error
        assert end.value.exit_code == 130
        assert "run the same command to go on" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a bug"), reported():
        raise RuntimeError("a bug")
