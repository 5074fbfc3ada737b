"""A plugin's file as a module: what is hashed is what runs."""

import sys
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from traceback import extract_tb
from types import CodeType, ModuleType

from pipeline.errors import UserError, worded


class _JustThese(SourceFileLoader):
    """Compiles these bytes, whatever the file or a cache beside it says by now."""

    def __init__(self, name: str, path: str, data: bytes):
        super().__init__(name, path)
        self._data = data

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._data, self.path)


def load(path: str) -> tuple[ModuleType, str]:
    """(the module that a file is, the SHA-256 of its text).

    The module's name follows from path and text, so that what it defines is found again by its name
    in any process that has loaded the file. UserError for a file that is not there, or fails.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "a path in `plugins` is relative to the DAG file, and holds on every worker"
        raise UserError(f"a plugin cannot be read: {reason}", path, hint) from None
    digest = sha256(data).hexdigest()
    name = f"item_plugin_{sha256(f'{path} {digest}'.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = spec_from_loader(name, _JustThese(name, path, data))
        if spec is None or spec.loader is None:
            raise UserError("a plugin is a Python file", path)
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # a user's code raises anything
            del sys.modules[name]
            raise UserError(
                f"a plugin cannot be loaded: {worded(error)}", _line(error, path)
            ) from (error)
    return sys.modules[name], digest


def _line(error: Exception, path: str) -> str:
    """Where in the file it came from."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path
