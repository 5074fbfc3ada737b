"""The head laboratory: small classifiers trained, tested and compared on cached features alone."""
