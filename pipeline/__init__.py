"""ITEM: an offline, feature-caching pipeline for hierarchical image-text misalignment."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("item-pipeline")
except PackageNotFoundError:  # running from a checkout that was never installed
    __version__ = "0+checkout"
