"""A query's parameters: declared in its header comment, given as NAME=VALUE, bound as values.

One line of the comment that begins the SQL declares one parameter:

    -- param generator text null: only this generator

its name, its type (text, integer or number), its default (one word; null: none), and what it does.
The SQL uses it as `$generator`. A value is bound by DuckDB and never becomes part of the SQL.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from pipeline.errors import UserError, nearest

Value = str | int | float | None

_FORM = "-- param NAME text|integer|number DEFAULT: what it does"
_LINE = re.compile(r"-- param ([a-z_]\w*) (text|integer|number) (\S+): (\S.*)")


@dataclass(frozen=True)
class Parameter:
    """A declared parameter: `kind` is text, integer or number; `default` is of that kind, or None.

    `about` says what it does.
    """

    name: str
    kind: str
    default: Value
    about: str


def declared(sql: str) -> dict[str, Parameter]:
    """The parameters that the comment at the beginning of `sql` declares, in its order.

    Raises UserError for a declaration of another form, a second one of a name, or a default that
    is not of its type.
    """
    found: dict[str, Parameter] = {}
    for line in sql.lstrip().splitlines():
        if not line.startswith("--"):
            break
        if not line.startswith("-- param "):
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise UserError("a parameter is not declared as it should be", line, f"write {_FORM}")
        name, kind, default, about = match.groups()
        if name in found:
            raise UserError(f"the parameter '{name}' is declared twice", line)
        found[name] = Parameter(name, kind, _value(name, kind, default), about)
    return found


def bind(parameters: dict[str, Parameter], given: Iterable[str]) -> dict[str, Value]:
    """The value of each parameter: the given `NAME=VALUE`, the last one of a name, or its default.

    Raises UserError for a name that is not declared and for a value of another type.
    """
    values = {name: parameter.default for name, parameter in parameters.items()}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"'{text}' gives no value", "--param", "write --param NAME=VALUE")
        if name not in parameters:
            hint = nearest(name, parameters) if parameters else "this query has no parameters"
            raise UserError(f"the query has no parameter '{name}'", f"--param {text}", hint)
        values[name] = _value(name, parameters[name].kind, value)
    return values


def _value(name: str, kind: str, text: str) -> Value:
    if text == "null":
        return None
    try:
        value: Value = {"text": str, "integer": int, "number": float}[kind](text)
    except ValueError:
        value = None
    in_range = isinstance(value, str) or (
        value is not None and isfinite(value) and (kind == "number" or abs(value) < 2**63)
    )
    if not in_range:
        article = "an" if kind == "integer" else "a"
        raise UserError(f"the parameter '{name}' is {article} {kind}, and '{text}' is not")
    return value
