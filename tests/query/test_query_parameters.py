import pytest

from pipeline.errors import UserError
from pipeline.query.query_parameters import Parameter, bind, declared

SQL = """-- Which images?
-- A row is one image.
-- param generator text null: only this generator
-- param cosine number 0.5: below this
-- param images integer 20: at most so many
-- image_id  as in images

select $generator, $cosine, $images
-- param late text null: no longer the header
"""


def test_declared_in_the_header_only_and_in_its_order():
    assert declared(SQL) == {
        "generator": Parameter("generator", "text", None, "only this generator"),
        "cosine": Parameter("cosine", "number", 0.5, "below this"),
        "images": Parameter("images", "integer", 20, "at most so many"),
    }
    assert declared("select 1") == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-- param generator text: only this", "not declared as it should be"),
        ("-- param generator string null: only this", "not declared as it should be"),
        ("-- param n integer many: so many", "'n' is an integer, and 'many' is not"),
    ],
)
def test_a_wrong_declaration_is_an_error(line, message):
    with pytest.raises(UserError, match=message):
        declared(f"{line}\nselect 1")


def test_a_name_is_declared_once():
    line = "-- param n integer 1: so many\n"
    with pytest.raises(UserError, match="'n' is declared twice"):
        declared(f"{line}{line}select $n")


def test_values_are_given_or_default():
    parameters = declared(SQL)
    assert bind(parameters, []) == {"generator": None, "cosine": 0.5, "images": 20}
    given = ["generator=a=b", "cosine=1", "images=3", "images=-4"]
    assert bind(parameters, given) == {"generator": "a=b", "cosine": 1.0, "images": -4}
    assert bind(parameters, ["cosine=null", "generator="]) == {
        "generator": "",
        "cosine": None,
        "images": 20,
    }


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("genrator=flow", "no parameter 'genrator'", "did you mean 'generator'?"),
        ("generator", "'generator' gives no value", "--param NAME=VALUE"),
        ("images=2.5", "'images' is an integer, and '2.5' is not", None),
        ("images=9999999999999999999", "'images' is an integer", None),
        ("cosine=low", "'cosine' is a number, and 'low' is not", None),
        ("cosine=nan", "'cosine' is a number, and 'nan' is not", None),
    ],
)
def test_mistakes(given, message, hint):
    with pytest.raises(UserError, match=message) as caught:
        bind(declared(SQL), [given])
    assert hint is None or hint in caught.value.hint


def test_a_query_without_parameters_says_so():
    with pytest.raises(UserError) as caught:
        bind({}, ["generator=flow"])
    assert caught.value.hint == "this query has no parameters"
