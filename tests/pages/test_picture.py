import base64
import io
from hashlib import sha256

from PIL import Image

from pipeline.corpus.upright import Row
from pipeline.pages.picture import SIDE, Box, Picture, thumbnail, thumbnails
from tests.conftest import draw


def opened(found):
    return Image.open(io.BytesIO(base64.b64decode(found.uri.partition(",")[2])))


def test_a_large_image_is_made_small_and_a_small_one_stays():
    large = thumbnail(Image.new("RGB", (1200, 600), "red"))
    assert (large.width, large.height) == (SIDE, SIDE // 2) == opened(large).size
    assert large.uri.startswith("data:image/jpeg;base64,")
    small = thumbnail(Image.new("RGB", (48, 40), "red"))
    assert (small.width, small.height) == (48, 40)
    assert opened(small).format == "PNG"


def test_files_that_are_gone_or_others_by_now_have_a_reason(tmp_path):
    path = draw(tmp_path / "a.jpg", 1)
    digest = sha256(path.read_bytes()).hexdigest()
    rows = [
        Row(0, str(path), digest, "clean", None),
        Row(1, str(path), "0" * 64, "clean", None),
        Row(2, str(tmp_path / "none.jpg"), digest, "clean", None),
        Row(3, str(path), digest, "clean", "cannot be decoded"),
        Row(4, str(path), digest, "blur_2", None),
    ]
    found = thumbnails(rows)
    assert [thumb is None for thumb, _ in found] == [False, True, True, True, False]
    assert "has changed" in found[1][1]
    assert "cannot be read" in found[2][1]
    assert found[3][1] == "cannot be decoded"
    assert found[0][0].uri != found[4][0].uri  # in its variant


def test_words_for_who_does_not_see_it():
    boxes = [Box("a dog", 0.1, 0, 0, 1, 1), Box("a cat")]
    said = Picture("a/b.jpg", "a dog and a cat", boxes=boxes).alt
    assert said == "Image a/b.jpg; captioned: a dog and a cat; with boxes around: a dog"
