"""What `failure_causes` counts, and what it takes for one cause."""

import pytest

from pipeline.query.questions import connect
from tests.sql.conftest import answer, written

A, B, C, D = (letter * 32 for letter in "abcd")
FACTS = ("width", "height", "format", "jpeg_quality")


@pytest.fixture
def failing(tmp_path):
    """Four contents and five files, as the stages list them; C decodes, and its path fits nothing.

    A, at two places, and B cannot be decoded, and so have no variant either; D fails at captions.
    """
    listed = [
        ("file:///c/1.jpg", A, "cannot be decoded", None),
        ("file:///c/2.jpg", A, "cannot be decoded", None),
        ("file:///c/3.jpg", B, "file is truncated: '/c/3.jpg'", None),
        ("file:///c/4.jpg", C, "path fits no layout: 4.jpg", 64),
        ("file:///c/5.jpg", D, None, 64),
        ("file:///c/6.jpg", None, "transient: file cannot be read: '/c/6.jpg'", None),
        (
            "file:///c/my pics/7.jpg",
            None,
            "transient: file cannot be read: '/c/my pics/7.jpg'",
            None,
        ),
    ]
    uri, ids, errors, width = (list(column) for column in zip(*listed, strict=True))
    none = [None] * len(uri)
    listing = {"uri": uri, "image_id": ids, "error": errors, "width": width}
    listing |= dict.fromkeys(("label", "generator", "split", *FACTS[1:]), none)
    keys = [A, B, C, D, f"{A}-jpeg_50"]
    said = ["cannot be decoded", errors[2], None, None, "broken data"]
    images = {"image_id": keys, "variant": ["clean"] * 4 + ["jpeg_50"], "error": said}
    images |= dict.fromkeys(FACTS, [None] * 5)
    below = [f"no image: {error}" if error else None for error in said]
    captions = {"image_id": keys, "error": [*below[:3], "out of memory", below[4]]}
    captions |= {"caption": ["x" if not e else None for e in captions["error"]]}
    tables = {"listing": listing, "images": images, "captions": captions}
    return connect(
        {
            name: (name, [written(tmp_path / name / "part-00000-0123abcd.parquet", name, columns)])
            for name, columns in tables.items()
        }
    )


def test_an_error_counts_once_wherever_it_is_handed_down(failing):
    assert answer(failing, "failure_causes", "node", "error", "failures", "example") == [
        ("listing", "cannot be decoded", 2, "file:///c/1.jpg"),
        ("listing", "transient: file cannot be read: '…'", 2, "file:///c/6.jpg"),
        ("listing", "file is truncated: '…'", 1, "file:///c/3.jpg"),
        ("listing", "path fits no layout: 4.jpg", 1, "file:///c/4.jpg"),
        ("captions", "out of memory", 1, "file:///c/5.jpg"),
    ]


@pytest.mark.parametrize(
    ("error", "uri", "cause"),
    [
        ("no: '/data/a/b.jpg'", None, "no: '…'"),
        ('no: "/data/a b/c.jpg" (2)', None, "no: '…' (2)"),
        ("no: /data/a/b.jpg: denied", None, "no: …: denied"),
        ("no: pics/b.jpg, later", None, "no: …, later"),
        ("no: s3://bucket/x/y.png", None, "no: …"),
        ("no: /data/my pics/b.jpg gone", "file:///data/my pics/b.jpg", "no: … gone"),
        ("at file:///data/my pics/b.jpg", "file:///data/my pics/b.jpg", "at …"),
        ("cannot identify 'b.jpg'", "file:///data/b.jpg", "cannot identify '…'"),
        ("<_io.BytesIO object at 0x7fc887e9ded0>", None, "<_io.BytesIO object at 0x…>"),
        ("needs 12/16 GB and/or a file", None, "needs 12/16 GB and/or a file"),
        ("15,000 x 15,000 pixels", None, "15,000 x 15,000 pixels"),
        ("JPEG 2000/1 read 3 of 10 bytes", "file:///data/b.jpg", "JPEG 2000/1 read 3 of 10 bytes"),
    ],
)
def test_what_is_one_files_alone_is_no_part_of_a_cause(failing, error, uri, cause):
    ((found,),) = failing.execute("select without_paths($1, $2)", [error, uri]).fetchall()
    assert found == cause
