"""`item report`, on a corpus that would break a page if it could, and on DAGs that lack things."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest
import yaml

from tests.conftest import draw
from tests.pages.conftest import CAPTIONS

SECTIONS = [
    *("computed", "failures", "audit", "tables", "curves", "figures", "distributions", "objects"),
    "gallery",
]


class Read(HTMLParser):
    """The elements of a page with their attributes, and its text by section."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.said, self._section, self._skip = [], {}, "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._skip = tag in ("style", "script")
        if tag == "section":
            self._section = dict(attrs)["id"]

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        if not self._skip:
            self.said[self._section] = self.said.get(self._section, "") + data

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(hostile):
    return (hostile / "store" / "reports" / "odd.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Read(text)


def test_run_ends_with_a_report_and_says_where(hostile):
    said = (hostile / "said").read_text()
    assert said.splitlines()[-1] == f"report: {hostile / 'store' / 'reports' / 'odd.html'}"


def test_a_run_with_nothing_new_keeps_it_and_without_report_makes_none(hostile, item, tmp_path):
    path = hostile / "store" / "reports" / "odd.html"
    before = path.stat().st_mtime_ns
    done = item("run", "odd.yaml", "--inline", "--json", cwd=hostile)
    assert json.loads(done.stdout)["facts"]["report"] == str(path)
    assert path.stat().st_mtime_ns == before
    done = item("run", "odd.yaml", "--inline", "--no-report", "--json", cwd=hostile)
    assert json.loads(done.stdout)["facts"]["report"] is None


def test_sections_in_the_order_of_a_reader(page):
    assert [attrs["id"] for attrs in page.of("section")] == SECTIONS
    assert "item 0" in page.said["computed"]
    assert "cannot" not in page.said["gallery"]
    assert "Not known" not in "".join(page.said.values())


def test_nothing_in_it_is_obeyed(text, page):
    assert not set(text) & set("\x1b\u202e\u202c")
    assert len(page.of("script")) == 1
    assert all(not name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert {attrs["src"].partition(",")[0] for attrs in page.of("img")} <= {
        "data:image/png;base64",
        "data:image/jpeg;base64",
    }
    gallery = page.said["gallery"]
    assert "<script>alert(1)</script>" in page.said["failures"]
    assert "\\u202egpj.exe" in gallery
    assert "\\x1b[2J" in gallery
    assert CAPTIONS[0] in gallery
    assert "{{ 7 * 7 }}" in gallery
    assert "$x^2$ <b>" in page.said["tables"]


def test_nothing_is_asked_of_any_other_place(text, page):
    links = [attrs["href"] for attrs in page.of("a") + page.of("link")]
    assert all(link.startswith(("#", "data:")) for link in links)
    (policy,) = [m["content"] for m in page.of("meta") if m.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not re.search(r"@import|url\((?!#|\"?data:)", text)


def test_every_figure_has_a_caption_words_for_it_and_its_data(text, page):
    drawn = [attrs for attrs in page.of("svg") if "role" in attrs]
    assert len(drawn) >= 7  # ROC, PR, calibration, Figure 4 (JPEG), Figure 5, two distributions
    assert all(len(attrs["aria-label"]) > 40 and attrs["viewbox"] for attrs in drawn)
    data = [attrs for attrs in page.of("a") if attrs["href"].startswith("data:text/csv")]
    assert len(data) == len(drawn) == text.count('<figure class="plot">')
    for attrs in data:
        assert re.fullmatch(r"[a-z0-9_-]+\.csv", attrs["download"])
        csv = base64.b64decode(attrs["href"].partition(",")[2]).decode()
        assert len(csv.splitlines()) > 1
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert "#0" not in "".join(re.findall(r'style="[^"]*"', text))  # no stand-in for a colour left


def test_pictures_have_boxes_and_words(page):
    images = page.of("img")
    assert len(images) >= 8
    assert all(attrs["alt"].startswith("Image test/") for attrs in images)
    assert any("with boxes around: " in attrs["alt"] for attrs in images)
    assert len(page.of("rect")) > len(images)


def test_an_image_that_is_gone_has_words_in_its_place(hostile, item, tmp_path):
    (hostile / "corpus").rename(hostile / "away")
    try:
        out = tmp_path / "r.html"
        assert item("report", "odd.yaml", "--out", out, cwd=hostile).returncode == 0
    finally:
        (hostile / "away").rename(hostile / "corpus")
    page = Read(out.read_text())
    assert page.of("img") == []
    assert "No picture: transient: file cannot be read" in page.said["gallery"]


def test_json_and_mistakes(hostile, item, tmp_path):
    done = item("report", "odd.yaml", "--out", tmp_path / "r.html", "--json", cwd=hostile)
    facts = json.loads(done.stdout)["facts"]
    assert facts["bytes"] == (tmp_path / "r.html").stat().st_size
    done = item("report", "odd.yaml", "--experiment", "acros", cwd=hostile)
    assert (done.returncode, "did you mean 'across'?" in done.stderr) == (2, True)
    done = item("report", "odd.yaml", "--out", "store/runs/r.html", cwd=hostile)
    assert (done.returncode, "write into a store" in done.stderr) == (2, True)
    done = item("report", "odd.yaml", "--out", tmp_path / "no" / "r.html", cwd=hostile)
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)
    done = item("report", "odd.yaml", "--store", tmp_path / "none", cwd=hostile)
    assert (done.returncode, "has nothing of 'odd'" in done.stderr) == (2, True)


def test_a_failed_report_does_not_fail_the_run(hostile, item):
    path = hostile / "store" / "reports"
    path.rename(hostile / "kept")
    try:
        path.write_text("a file, where a folder is to be")
        done = item("run", "odd.yaml", "--inline", cwd=hostile)
        assert done.returncode == 0
        assert "report: not made: " in done.stderr
    finally:
        path.unlink()
        (hostile / "kept").rename(path)


LACKING = {
    "listing only": (("--until", "images"), {}, {"tables": "no run", "objects": "No head noun"}),
    "no run": (("--until", "features"), {}, {"curves": "item train", "gallery": "No run says"}),
    "no experiments": (
        (),
        {"experiments": {}},
        {"tables": "The DAG has no experiments", "figures": "Figure 5 was not run"},
    ),
    "no labels": (
        (),
        {"experiments": {}, "layout": "unlabelled"},
        {"distributions": "hypothesis is not tested", "audit": "not judged"},
    ),
    "one generator": ((), {"one": True}, {"tables": "Allow_overlap: ", "curves": "Of "}),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_is_not_there_is_said_in_its_place(hostile, item, tmp_path, what):
    words, changes, said = LACKING[what]
    raw = yaml.safe_load((hostile / "odd.yaml").read_text())
    raw["max_failed_share"] = 0.01
    raw["corpus"] |= {"variants": {}, "root": str(tmp_path / "corpus")}
    raw["corpus"] |= {"layout": changes.get("layout", "forensynths")}
    del raw["nodes"]["captions"]["file"], raw["nodes"]["captions"]["key"]
    raw["nodes"]["captions"]["stage"] = "caption"
    raw["nodes"]["captions"] |= {"model": raw_model(), "max_new_tokens": 12}
    raw["experiments"] = changes.get("experiments", raw["experiments"])
    for one in raw["experiments"].values():
        one |= {"test_by": "generator", "bootstrap": 40}
        if changes.get("one"):
            one |= {"train": "image_id < '8'", "test": "image_id >= '8'", "allow_overlap": True}
    for label, kind in enumerate(("0_real", "1_fake")):
        for number in range(10):
            draw(
                tmp_path / "corpus" / "test" / "plain" / kind / f"{number}.jpg", 50 * label + number
            )
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({**raw, "name": "few"}, sort_keys=False))
    done = item("run", "few.yaml", "--inline", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Read((tmp_path / "store" / "reports" / "few.html").read_text())
    assert [attrs["id"] for attrs in page.of("section")] == SECTIONS
    assert "Not known" not in "".join(page.said.values())
    for section, text in said.items():
        assert text in page.said[section], page.said[section]


def raw_model():
    from tests.conftest import DEMO_MODELS

    return str(DEMO_MODELS / "captioner")
