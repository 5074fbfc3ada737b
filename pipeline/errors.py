"""Errors that are the user's to mend: what, where and what to do next, never a traceback."""

import re
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


# the program's own faults, and what the user can mend: no image is to blame for them
NOT_THE_ROWS = (UserError, ImportError, NameError, AttributeError, TypeError)


def worded(error: BaseException) -> str:
    """An exception as one line of words, at most 500 characters: what a failed row says.

    Many come without a message: then what Python's own page says of the class stands for it.
    """
    said = " ".join(str(error).split())
    name = type(error).__name__
    if isinstance(error, MemoryError):
        said = f"out of memory: {said}" if said else "out of memory"
    elif not said and type(error).__module__ == "builtins":
        said = f"{name}: {(type(error).__doc__ or 'no message').splitlines()[0].rstrip('.')}"
    elif not said:
        said = f"{name}: no message came with it"
    elif not isinstance(error, UserError):
        said = f"{name}: {said}"
    return said[:500]


# what a terminal obeys instead of showing it, or shows in another place than it stands: controls,
# but for the end of a line, separators, directions; and halves of characters: they are no text
_OBEYED = re.compile(
    r"[\x00-\t\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Text as a terminal may have it: file names and captions hold anything, `\\x1b[2J` too."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def many(count: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


TRANSIENT = "transient: "  # how the reason of a row begins that the next run tries again


def transient(words: str) -> str:
    """The reason of a failure that may go away by itself: a disk, a network, memory."""
    return f"{TRANSIENT}{words}"


REFUSED = "refused: "  # how the reason of an image begins that a corpus does not ask for


def refused(words: str) -> str:
    """The reason why a corpus does not take an image, by what its DAG file says."""
    return f"{REFUSED}{words}"


def reason_of(error: BaseException) -> str:
    """What a row says that failed with `error`: `worded`, and whether that may go away by itself.

    What the machine refused may: files and memory. What a library finds wrong with a content stays.
    """
    may_pass = isinstance(error, OSError | MemoryError) or getattr(error, "transient", False)
    return transient(worded(error)) if may_pass else worded(error)


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
