"""Captions tagged by hand."""

from pipeline.models.parser.words import Word

_TAGS = {"a": "DET", "the": "DET", "of": "ADP", "on": "ADP", "in": "ADP", "and": "CCONJ"}
_TAGS |= {",": "PUNCT", "-": "PUNCT", ".": "PUNCT", "is": "AUX", "his": "PRON", "'s": "PART"}


def tagged(text: str) -> tuple[str, list[Word]]:
    """`a red/ADJ ball` to a caption and its words: NOUN unless marked; `~` glues to the left."""
    caption, words = "", []
    for piece in text.split():
        glued, piece = piece.startswith("~"), piece.removeprefix("~")
        form, _, tag = piece.partition("/")
        caption += "" if glued or not caption else " "
        words.append(Word(form, tag or _TAGS.get(form.lower(), "NOUN"), len(caption)))
        caption += form
    return caption, words
