"""The version of this copy of the package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("item-pipeline")
except PackageNotFoundError:  # running from a checkout that was never installed
    __version__ = "0+checkout"
