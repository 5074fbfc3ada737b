"""A detector against the run that it is: the same numbers, whatever form an image comes in."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pipeline
from pipeline import Detector
from pipeline.errors import UserError
from pipeline.predict.answer import OBJECTS, VERDICTS, objects_of
from tests.conftest import draw


@pytest.fixture(scope="module")
def detector(world):
    return Detector.load("cross", dag=str(world.dag), store=world.store)


def cached(folder: Path, method: str) -> dict[str, float]:
    """image_id -> the probability that the run itself wrote down."""
    rows = pq.read_table(folder / "predictions.parquet")
    rows = rows.filter(pc.equal(rows["method"], method))
    return dict(zip(rows["image_id"].to_pylist(), rows["probability"].to_pylist(), strict=True))


METHODS = [
    *("global", "local", "image", "global+local+image", "linear probe", "linear head"),
    *("pair probe", "concat MLP", "caption text", "cosine"),
]


@pytest.mark.parametrize("method", METHODS)
def test_images_that_are_cached_get_the_run_s_own_probabilities(world, method):
    detector = Detector.load("cross", str(world.dag), world.store, method)
    found = detector([str(world.corpus / "test" / "flow")])
    expected = cached(detector.meant.trained.folder, method)
    assert len(found) == len(expected) == 6
    for row in found.to_pylist():
        assert row["error"] is None
        assert row["uncalibrated"] == pytest.approx(expected[row["image_id"]], abs=1e-4)


def test_an_experiment_s_own_representation_and_pooling_are_applied(world):
    detector = Detector.load("raw", str(world.dag), world.store, "local")
    expected = cached(detector.meant.trained.folder, "local")
    for row in detector(world.corpus / "test" / "flow").to_pylist():
        assert row["uncalibrated"] == pytest.approx(expected[row["image_id"]], abs=1e-4)


def test_captions_boxes_and_distances_are_the_cached_ones(world, detector):
    found = detector(world.corpus / "test")
    assert found.schema.equals(VERDICTS)
    assert len(found) == 12
    connection = pipeline.open_store(str(world.dag), world.store)
    for row in found.to_pylist():
        sql = "select {} from {} where image_id = $id"
        ((caption,),) = connection.execute(
            sql.format("caption", "captions"), {"id": row["image_id"]}
        ).fetchall()
        assert row["caption"] == caption
        boxes = connection.execute(
            sql.format("object_no, x0, y0, x1, y1, score", "regions order by object_no").replace(
                " order by object_no where image_id = $id", " where image_id = $id order by 1"
            ),
            {"id": row["image_id"]},
        ).fetchall()
        names = ("object_no", "x0", "y0", "x1", "y1", "score")
        assert np.allclose([[one[n] for n in names] for one in row["objects"]], boxes, atol=1e-5)
        assert row["num_objects"] == len(boxes)
        measured = connection.execute(
            sql.format("distance", "misalignment") + " order by level, object_no",
            {"id": row["image_id"]},
        ).fetchall()
        own = [row["distance"], *(one["distance"] for one in row["objects"])]
        assert np.allclose(own, [value for (value,) in measured], atol=1e-3)


def test_percentiles_are_shares_of_the_cached_reals(world, detector):
    connection = pipeline.open_store(str(world.dag), world.store)
    reals = connection.execute(
        "select distance from misalignment where level = 'global' "
        "and image_id in (select image_id from listing where label = 0) order by 1"
    ).fetchall()
    by_distance = {}
    for row in detector(world.corpus / "test").to_pylist():
        by_distance[row["distance"]] = row["percentile"]
    assert len(reals) == 6
    for distance, percentile in by_distance.items():
        below = sum(value < distance - 1e-3 for (value,) in reals)
        up_to = sum(value < distance + 1e-3 for (value,) in reals)
        assert 100 * (below - 1) / 5 <= percentile <= 100 * max(up_to, 1) / 5


def test_a_path_its_bytes_and_its_picture_are_judged_alike(detector, tmp_path):
    path = draw(tmp_path / "one.jpg", 77)
    found = detector([path, str(path), path.read_bytes(), Image.open(path)]).to_pylist()
    assert [row["path"] for row in found] == [str(path), str(path), "#2", "#3"]
    assert found[2]["image_id"] == found[0]["image_id"] != found[3]["image_id"]
    for row in found[1:]:
        assert row["uncalibrated"] == pytest.approx(found[0]["uncalibrated"], abs=1e-6)
        assert row["caption"] == found[0]["caption"]
    (alone,) = detector(path).to_pylist()
    assert alone["probability"] == pytest.approx(found[0]["probability"], abs=1e-4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "CMYK", "YCbCr"])
def test_pictures_of_any_mode_are_judged(detector, mode):
    (row,) = detector(Image.new(mode, (40, 30))).to_pylist()
    assert row["error"] is None
    assert (row["width"], row["height"]) == (40, 30)


def test_a_turned_picture_is_judged_upright(detector, tmp_path):
    wide = Image.open(draw(tmp_path / "plain.jpg", 5)).resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(tmp_path / "turned.png", exif=exif)
    file, picture = detector(
        [tmp_path / "turned.png", Image.open(tmp_path / "turned.png")]
    ).to_pylist()
    for row in (file, picture):
        assert (row["width"], row["height"]) == (40, 60)
    assert file["uncalibrated"] == pytest.approx(picture["uncalibrated"], abs=1e-6)


def test_what_cannot_be_judged_is_a_row_with_its_reason_and_costs_no_other(detector, tmp_path):
    good = draw(tmp_path / "good.jpg", 8)
    half = tmp_path / "half.jpg"
    half.write_bytes(good.read_bytes()[:-400])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    given = [good, half, tmp_path / "empty.png", tmp_path / "folder", "no\0name", b"no image", good]
    found = detector(given).to_pylist()
    assert [row["verdict"] is None for row in found] == [False, *[True] * 5, False]
    assert [row["error"] is None for row in found] == [True, *[False] * 5, True]
    assert "empty (0 bytes)" in found[2]["error"]
    assert found[3]["error"] == "it is empty"
    assert found[4]["error"] == "there is no such file or folder"
    assert "not an image" in found[5]["error"]
    assert found[0] == found[6]


def test_nothing_and_what_is_no_image_at_all(detector):
    assert detector([]).schema.equals(VERDICTS)
    with pytest.raises(UserError, match="image 1 is a ndarray"):
        detector([b"", np.zeros(3)])


def test_objects_are_a_table_of_their_own(detector, world):
    found = detector(world.corpus)
    objects = objects_of(found)
    assert objects.schema.equals(OBJECTS)
    assert len(objects) == sum(found["num_objects"].to_pylist()) > 0
    assert objects_of(found.slice(0, 0)).schema.equals(OBJECTS)
    assert objects["phrase"].to_pylist() == [
        one["phrase"] for row in found.to_pylist() for one in row["objects"]
    ]


def test_workers_give_what_one_process_gives(detector, world, tmp_path):
    from pipeline.predict.inputs import found

    for number in range(20):
        draw(tmp_path / f"{number:02}.jpg", 300 + number)
    (tmp_path / "21.jpg").write_bytes(b"no image")
    files = found([str(tmp_path)], bytes)
    heard = []
    several = list(detector.judge(files, workers=2, done=heard.append))
    assert len(several) == 2
    assert sum(heard) == 21
    one = [row for table in detector.judge(files) for row in table.to_pylist()]
    other = [row for table in several for row in table.to_pylist()]
    assert [row["path"] for row in one] == [row["path"] for row in other]
    for a, b in zip(one, other, strict=True):
        assert a["caption"] == b["caption"]
        assert a["uncalibrated"] == pytest.approx(b["uncalibrated"], abs=1e-4)


def test_a_run_s_folder_finds_its_store_and_a_dag_of_its_name(detector, world, monkeypatch):
    monkeypatch.chdir(world.folder)
    folder = detector.meant.trained.folder
    again = Detector.load(folder)
    assert again.meant.percentiles.counts == detector.meant.percentiles.counts
    monkeypatch.chdir("/")
    with pytest.raises(UserError, match="a DAG called 'small', and none is here"):
        Detector.load(folder)
    with pytest.raises(UserError, match="by which DAG was 'cross' trained"):
        Detector.load("cross")


def test_the_best_head_on_validation_judges_unless_another_is_asked_for(world, detector):
    choices = detector.meant.trained.choices
    heads = ("global", "local", "image", "global+local+image")
    best = max(choices[head].validation_ap for head in heads)
    assert choices[detector.meant.reading.method].validation_ap == best
    assert detector.meant.reading.method in heads
    for method, why in (("k-NN", "training images' own vectors"), ("metadata", "judges the file")):
        with pytest.raises(UserError, match=why):
            Detector.load("cross", str(world.dag), world.store, method)
    with pytest.raises(UserError, match="no method 'gloval'"):
        Detector.load("cross", str(world.dag), world.store, "gloval")


def test_another_dag_than_the_run_s_is_an_error_with_both_fingerprints(world):
    with pytest.raises(UserError) as caught:
        Detector.load("cross", str(world.dag), world.store, overrides=["captions.num_beams=1"])
    now = pipeline.predict.found_run.load(str(world.dag), ["captions.num_beams=1"])
    before = pipeline.predict.found_run.load(str(world.dag))
    said = str(caught.value)
    assert f"'captions' is {now.nodes['captions'].fingerprint} now" in said
    assert f"made from {before.nodes['captions'].fingerprint}" in said
    assert "num_beams 3 -> 1" in said
    assert "nodes.captions" in said


def test_json_of_the_run_that_is_damaged_is_one_error(world, tmp_path):
    folder = Detector.load("cross", str(world.dag), world.store).meant.trained.folder
    copy = tmp_path / "runs" / "cross" / "x"
    copy.mkdir(parents=True)
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    about = json.loads((copy / "experiment.json").read_text())
    (copy / "experiment.json").write_text(json.dumps({**about, "config": {"train": 3}}))
    with pytest.raises(UserError, match="the run cannot be read"):
        Detector.load(copy)
    (copy / "experiment.json").write_text("{")
    with pytest.raises(UserError, match="the run cannot be read"):
        Detector.load(copy)
    stream = io.StringIO()
    json.dump(about, stream)
    (copy / "experiment.json").write_text(stream.getvalue())
    (copy / "metrics.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="the run cannot be read"):
        Detector.load(copy)
