"""Errors that are the user's to mend: what, where and what to do next, never a traceback."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in a command, a DAG file, a corpus or a store.

    `what` went wrong, `where` (file, key, row), and the `hint` that says what to do next.
    """

    def __init__(self, what: str, where: str | None = None, hint: str | None = None):
        super().__init__(what, where, hint)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  next:  {self.hint}")
        return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str:
    """A phrase for error messages: the closest known word, or all of them."""
    options = sorted(known)
    close = get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(options)}" if options else "none are known"


@contextmanager
def refusals_explained(what: str) -> Iterator[None]:
    """Turns an operating system's refusal (full disk, no permission) into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{what}: {error.strerror or error}",
            str(error.filename) if error.filename else None,
            "free space or mend permissions, then run the same command: finished parts are kept",
        ) from error
