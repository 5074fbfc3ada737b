import io
import os

import numpy as np
import pytest
from PIL import Image

from pipeline.corpus.noise import overheard
from pipeline.corpus.opened import ImageError
from pipeline.corpus.upright import decode_bytes


def test_lines_of_libraries_are_kept_and_those_of_others_pass(capfd):
    with overheard() as said:
        os.write(2, b"LZWDecode: Not enough data at scanline 3.\n2026-01-01 - a worker speaks\n")
        os.write(2, b"LZWDecode: Not enough data at scanline 3.\ntempfile.tif: Odd.\n")
    assert said == ["LZWDecode: Not enough data at scanline 3.", "tempfile.tif: Odd."]
    assert capfd.readouterr().err == "2026-01-01 - a worker speaks\n"


def test_stderr_is_back_after_an_error(capfd):
    with pytest.raises(ValueError, match="no"), overheard():
        raise ValueError("no")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_libtiffs_complaint_is_in_the_error_and_not_on_the_terminal(capfd):
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "TIFF", compression="tiff_adobe_deflate")
    data = bytearray(stream.getvalue())
    data[3000] ^= 255
    with pytest.raises(ImageError, match=r"decoder error -2; ZIPDecode: Decoding error"):
        decode_bytes(bytes(data))
    assert capfd.readouterr() == ("", "")
