"""What the user has already: files of keys, texts and vectors, in the place of a model."""
