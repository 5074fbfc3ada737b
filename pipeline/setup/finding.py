"""One finding of `item doctor`."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import UserError


@dataclass(frozen=True)
class Check:
    """One finding; `hint` says what to do when it is not ok, and else what is worth knowing."""

    ok: bool
    what: str
    found: str
    hint: str = ""


def attempt(what: str, look: Callable[[], str]) -> Check:
    """What `look` found, or the UserError that it raised as a finding."""
    try:
        return Check(True, what, look())
    except UserError as error:
        where = f" ({error.where})" if error.where else ""
        return Check(False, what, f"{error.what}{where}", error.hint or "")
