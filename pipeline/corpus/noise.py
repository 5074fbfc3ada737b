"""What C libraries write to stderr while they decode: libtiff says in no other way what is wrong.

395 such lines without the name of a file are no use to anybody; one in the row of the image is.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_SAID = re.compile(rb"^[\w.]*: .*$", re.MULTILINE)  # LZWDecode: ..., tempfile.tif: ...
_stderr = Lock()  # one for the process: images whose decoder is overheard take turns


@contextmanager
def overheard() -> Iterator[list[str]]:
    """A list that at the end has the libraries' lines, each once, instead of the terminal.

    Lines that are none of theirs, as another thread may write meanwhile, go where they would have.
    """
    said: list[str] = []
    with _stderr, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        own = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(own, 2)
            file.seek(0)
            content = file.read()
            said += dict.fromkeys(
                line.decode("utf-8", "replace") for line in _SAID.findall(content)
            )
            if others := _SAID.sub(b"", content).strip(b"\n"):
                os.write(own, others + b"\n")
            os.close(own)
