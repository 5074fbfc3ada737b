"""The text tower without the padding, where leaving it out changes nothing."""

from typing import Any


class TextTower:
    """Text features [n, d] of an open_clip model, from tokens [n, context].

    In a causal tower that pools at the end token, no padded position can reach the pooled one, so
    the columns that hold padding in every row are cut off: a caption of ten words costs a sixth of
    the 77 positions it is padded to. Other towers (pooling at the last position, attention in both
    directions, class tokens, transformers' models) get every column.
    """

    def __init__(self, model: Any):
        from open_clip.model import CLIP
        from open_clip.transformer import TextTransformer

        self._model = model
        self._tower = model if type(model) is CLIP else getattr(model, "text", None)
        self.embedding = getattr(self._tower, "token_embedding", None)  # None: of another make
        pooled = getattr(self._tower, "text_pool_type", getattr(self._tower, "pool_type", None))
        self._pool = pooled
        self._end = getattr(self._tower, "text_eos_id", getattr(self._tower, "eos_id", None))
        self._cuts = (
            type(self._tower) in (CLIP, TextTransformer)
            and getattr(self._tower, "attn_mask", None) is not None
            and getattr(self._tower, "cls_emb", None) is None
            and not getattr(self._tower, "use_pad_mask", False)
            and pooled in ("argmax", "eos")
        )

    def __call__(self, tokens: Any, pad: int, device: Any) -> Any:
        """Features [n, d] on `device`, not normalised; `pad` is the token that fills rows up."""
        if self._cuts:
            filled = (tokens != pad).any(0)
            length = int(filled.nonzero().max()) + 1 if filled.any() else 1
            # the pooled position stays, also where padding is the end token, or the largest one
            length = max(length, int(self._pooled(tokens).max()) + 1)
            return self._short(tokens[:, :length].to(device))
        return self._model.encode_text(tokens.to(device))

    def _pooled(self, tokens: Any) -> Any:
        """The position that each row is pooled at, int64 [n], as `text_global_pool` finds it."""
        if self._pool == "argmax":
            return tokens.argmax(1)
        return (tokens == self._end).int().argmax(1)

    def _short(self, tokens: Any) -> Any:
        """open_clip's own forward pass (`CLIP.encode_text`), for fewer positions."""
        from open_clip.transformer import text_global_pool

        tower, length = self._tower, tokens.shape[1]
        dtype = tower.transformer.get_cast_dtype()
        hidden = tower.token_embedding(tokens).to(dtype)
        hidden = hidden + tower.positional_embedding[:length].to(dtype)
        hidden = tower.transformer(hidden, attn_mask=tower.attn_mask[:length, :length])
        pooled = text_global_pool(
            tower.ln_final(hidden), tokens, self._pool, eos_token_id=self._end
        )
        if tower.text_projection is None:
            return pooled
        if callable(tower.text_projection):
            return tower.text_projection(pooled)
        return pooled @ tower.text_projection
