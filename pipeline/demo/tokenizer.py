"""The small WordPiece tokenizer that the bundled CLIP and captioner share.

Words of the true captions are one token each; any other English word falls back to characters, so
no input is unknown unless it leaves printable ASCII. 160 rows instead of CLIP's 49,408 save 12 MB.
"""

import string

from transformers import BertTokenizer

from pipeline.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, TEXTURES

PAD, UNKNOWN, CLS, SEP, MASK, BOS = range(6)  # ids; BOS starts BLIP's captions
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
_PLAIN_WORDS = ("a", "an", "the", "and", "on", "of", "in", "with", "background", "picture", "photo")
MAX_LENGTH = 32


def build_tokenizer() -> BertTokenizer:
    """A lower-casing WordPiece tokenizer; CLIP's marks are [CLS] … [SEP], BLIP starts at [DEC]."""
    words = [*_PLAIN_WORDS, *COLOURS, *SHAPES, *BACKGROUNDS, *TEXTURES]
    characters = string.ascii_lowercase + string.digits
    entries = [*_SPECIAL, *string.punctuation, *characters, *(f"##{c}" for c in characters), *words]
    vocabulary = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    return BertTokenizer(
        vocab=vocabulary,
        bos_token="[DEC]",
        model_max_length=MAX_LENGTH,
    )
