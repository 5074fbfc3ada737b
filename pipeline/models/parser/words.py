"""A word of a tagged caption."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """One token: text, universal tag (UPOS), character offset in the caption."""

    text: str
    tag: str
    start: int

    @property
    def end(self) -> int:
        """Offset after the last character."""
        return self.start + len(self.text)
