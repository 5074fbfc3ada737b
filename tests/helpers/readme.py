"""The blocks of a README, and what a document must hold to: commands that parse, same output."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from pipeline.cli.app import app

_FENCE = re.compile(
    r"(?:^<!-- not run in the test: (?P<why>[^>]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\.?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_TIME = re.compile(r"(?<![\w.])\d[\d.]* (?:s|min|h)\b")
_INLINE = re.compile(r"`(item [a-z][^`]*)`")
_LEFT_OUT = re.compile(r"^…|^\(.*left out.*\)$")
_OPERATORS = {"|", "&&", "||", ";", ">", "<", "<<<", "&", "2>"}


@dataclass(frozen=True)
class Block:
    """A fenced block. `why` it is not run by the test, or None; `output` is the block after it."""

    path: Path
    line: int
    language: str
    text: str
    why: str | None
    output: str | None

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line for the shell, and what must be printed; None where nothing is shown."""

    text: str
    output: str | None = None

    @property
    def words(self) -> list[str] | None:
        """Those of a bare `item …`, None of anything that needs a shell."""
        words = shlex.split(self.text, comments=True)
        return words[1:] if words[:1] == ["item"] and not _OPERATORS & set(words) else None


def blocks(path: Path) -> list[Block]:
    """All blocks of a file in their order, a ```text after another one taken for its output."""
    text = path.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        language, body = match["language"], match["text"]
        if language == "text" and found:
            found[-1] = Block(**{**found[-1].__dict__, "output": body})
            continue
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(Block(path, line, language, body, match["why"], None))
    return found


def commands(block: Block) -> list[Command]:
    """Those of a ```bash block, or of a ```console block with what each prints.

    A command goes on where its quotes are open or its line ends in a backslash.
    """
    lines = block.text.splitlines()
    found: list[Command] = []
    while lines:
        line = lines.pop(0)
        if block.language == "console":
            if not line.startswith("$ "):
                raise ValueError(f"{block}: output without a command: {line}")
            line = line[2:]
        while line.endswith("\\") or not _whole(line):
            line = line.removesuffix("\\") + ("" if line.endswith("\\") else "\n") + lines.pop(0)
        output = []
        while block.language == "console" and lines and not lines[0].startswith("$ "):
            output.append(lines.pop(0))
        shown = "\n".join(output) if output else None
        if shlex.split(line, comments=True):
            found.append(Command(line, shown))
    return found


def _whole(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def inline_commands(path: Path) -> list[str]:
    """Each `item …` within the running text."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return sorted({found.replace("\n", " ") for found in _INLINE.findall(text)})


def check_words(words: list[str]) -> None:
    """Raises ValueError for a command, an option or one argument more than `item` has."""
    command = typer.main.get_command(app)
    words = list(words)
    while (below := getattr(command, "commands", None)) and words and not words[0].startswith("-"):
        if words[0] not in below:
            raise ValueError(f"there is no `item {words[0]}`")
        command = below[words.pop(0)]
    known = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    room = sum(1 for one in command.params if one.param_type_name == "argument")
    several = any(one.nargs == -1 for one in command.params)
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if word.startswith("-") and word != "-":
            if name not in known and name not in ("--help", "-h"):
                raise ValueError(f"`item {command.name}` has no {name}")
            takes_value = name in known and not known[name].is_flag and "=" not in word
            words = words[1:] if takes_value else words
        else:
            room -= 1
    if room < 0 and not several:
        raise ValueError(f"`item {command.name}` takes fewer arguments")


def differences(shown: str, printed: str, exact: bool) -> Iterator[str]:
    """Lines of a document that a command has not printed, in their order.

    White space, rules, times and lines that say that something is left out do not count, and a line
    may end early: columns on the right are left out. Numbers may be off by one in fifty, or in
    their last digit: another processor rounds otherwise. Without `exact` (another, smaller
    corpus) only lines without numbers are looked for, such as headings of tables.
    """
    there = [_words(line) for line in printed.splitlines()]
    at = 0
    for line in shown.splitlines():
        words = _words(line)
        if not words or _LEFT_OUT.match(line) or set(line) <= set("- "):
            continue
        if not exact and _NUMBER.search(line):
            continue
        later = range(at, len(there))
        match = next((i for i in later if _same(words, there[i], exact)), None)
        if match is None:
            yield line
        else:
            at = match + 1


def _words(line: str) -> list[str]:
    return _TIME.sub("TIME", line).split()


def _same(shown: list[str], printed: list[str], exact: bool) -> bool:
    if len(shown) > len(printed):
        return False
    return all(a == b or (exact and _near(a, b)) for a, b in zip(shown, printed, strict=False))


def _near(shown: str, printed: str) -> bool:
    """The same but for numbers, and these nearly."""
    if _NUMBER.sub("#", shown) != _NUMBER.sub("#", printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(_close(a, b) for a, b in pairs)


def _close(shown: str, printed: str) -> bool:
    a, b = (float(one.replace(",", "").replace("−", "-")) for one in (shown, printed))
    last_digit = 1.01 * 10 ** -len(shown.partition(".")[2])
    return abs(a - b) <= max(0.02, last_digit, 0.02 * max(abs(a), abs(b)))
