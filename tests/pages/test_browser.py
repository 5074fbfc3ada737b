"""Pages in a real browser: nothing fails, nothing is fetched, tables sort, nothing overflows."""

import base64
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import make_dag
from tests.helpers import demo

PHOTOS = os.environ.get("ITEM_TEST_PHOTOS")  # a folder of photographs; without it there are none

chromium = shutil.which("chromium") or shutil.which("chromium-browser")
driver_path = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (chromium and driver_path), reason="chromium or chromedriver is not installed"
)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that keeps what it logs and what it fetches."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver_path))
    yield found
    found.quit()


def _report(hostile, part, place, item):
    return hostile / "store" / "reports" / "odd.html"


def _image(hostile, part, place, item):
    name = '0_real/"><img src=x onerror=alert(2)>0.jpg'
    done = item("show", "odd.yaml", name, "--html", place / "one.html", cwd=hostile)
    assert done.returncode == 0, done.stderr
    return place / "one.html"


def _verdicts(hostile, part, place, item):
    words = ("across", "corpus", "--html", place / "verdicts.html", "--inline")
    done = item("predict", "odd.yaml", *words, cwd=hostile)
    assert done.returncode == 1, done.stderr  # one file has no caption
    return place / "verdicts.html"


def _demo(hostile, part, place, item):
    return demo.report(place, item, part)


def _photos(hostile, part, place, item):
    """Of photographs, by the bundled models, which know nothing of such."""
    make_dag(place / "photos.yaml", Path(PHOTOS), part_size=60, name="photos")
    raw = yaml.safe_load((place / "photos.yaml").read_text())
    raw["corpus"] |= {"layout": "auto", "limit": 120}
    half = {"train": "image_id < '8'", "test": "image_id >= '8'", "allow_overlap": True}
    raw["experiments"] = {
        "half": {**half, "head": {"epochs": 2, "least_steps": 1}, "bootstrap": 40}
    }
    (place / "photos.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    done = item("run", "photos.yaml", "--inline", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "store" / "reports" / "photos.html"


MARKUP = '"><img src=x onerror=alert(2)>'  # in names
# how each page is made, and a text that it shows
PAGES = {
    "report": (_report, MARKUP),
    "image": (_image, MARKUP),
    "verdicts": (_verdicts, MARKUP),
    "demo": (_demo, "cross_generator"),
    **({"photos": (_photos, "of 120 distinct contents")} if PHOTOS else {}),
}


@pytest.fixture(scope="module", params=PAGES)
def page(request, hostile, part_of_demo, item, browser, tmp_path_factory):
    """A page that is open: (its uri, what it logged, what it did, a text that it shows)."""
    make, shown = PAGES[request.param]
    place = tmp_path_factory.mktemp(request.param)
    path = make(hostile, part_of_demo[0], place, item)
    browser.get_log("performance")
    browser.get(path.as_uri())
    return path.as_uri(), browser.get_log("browser"), browser.get_log("performance"), shown


def test_no_error_no_request_and_no_alert(page, browser):
    uri, said, events, _ = page
    assert said == []
    messages = [json.loads(event["message"])["message"] for event in events]
    asked = [
        one["params"]["request"]["url"]
        for one in messages
        if one["method"] == "Network.requestWillBeSent"
    ]
    assert [one for one in asked if not one.startswith("data:")] == [uri]
    assert "Page.javascriptDialogOpening" not in {one["method"] for one in messages}


def test_names_show_as_text(page, browser):
    text = browser.execute_script("return document.body.innerText")
    assert page[-1] in text
    made = "return [...document.images].filter(i => !i.src.startsWith('data:')).length"
    assert browser.execute_script(made) == 0
    assert browser.execute_script("return document.scripts.length") == 1


@pytest.mark.parametrize("width", [400, 900, 1600])
def test_nothing_overflows_and_every_figure_has_a_size(page, browser, width):
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wide = "return [document.documentElement.scrollWidth, window.innerWidth]"
    assert browser.execute_script(wide) == [width, width]
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg[role=img], figure img')].map(one => {"
        "const box = one.getBoundingClientRect();"
        "return [box.width, box.height, (one.alt || one.getAttribute('aria-label') || '').length]"
        "})"
    )
    assert len(sizes) > 4
    assert all(120 < w <= width and h > 60 and words > 20 for w, h, words in sizes)


def test_tables_sort_by_click_and_by_keyboard(page, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    found = browser.execute_script(
        "return [...document.querySelectorAll('table')].filter(t => t.tBodies[0].rows.length > 3 "
        "&& t.querySelector('th.right'))[0]"
    )
    (head, *_) = found.find_elements(By.CSS_SELECTOR, "th.right")
    place = browser.execute_script("return arguments[0].cellIndex", head)

    def keys():
        script = (
            "return [...arguments[0].tBodies[0].rows].map(r => r.cells[arguments[1]].dataset.key)"
        )
        return browser.execute_script(script, found, place)

    before = keys()
    button = head.find_element(By.TAG_NAME, "button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    figures = [float(key) for key in keys() if key != "\N{EN DASH}"]
    assert figures == sorted(figures, reverse=True)
    button.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "ascending"
    figures = [float(key) for key in keys() if key != "\N{EN DASH}"]
    assert figures == sorted(figures)
    button.send_keys(Keys.SPACE)
    assert head.get_attribute("aria-sort") is None
    assert keys() == before


def test_dark_is_dark_and_ink_is_read_on_it(page, browser):
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        paper, ink = browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )
        shades = [sum(map(int, text[4:-1].split(","))) for text in (paper, ink)]
        assert abs(shades[0] - shades[1]) > 450
        assert (shades[0] < shades[1]) == (scheme == "dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


A4 = 688  # CSS pixels between the margins
TEXTS = ("ink", "quiet", "link", "real", "fake", "ok", "look", "leak")
LINES = tuple(f"line-{number}" for number in range(8))


@pytest.fixture
def printed(page, browser):
    """The page as it is laid out on paper, where the screen is dark."""
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [dark]})
    metrics = {"width": A4, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    yield browser
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_it_prints_on_pages(page, browser):
    pdf = base64.b64decode(browser.print_page())
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1


def test_tables_are_whole_on_paper(printed):
    found = printed.execute_script(
        "return [...document.querySelectorAll('table')].map(table => {"
        "const cells = [...table.querySelectorAll('th, td')];"
        "return [table.getBoundingClientRect().right, "
        "Math.max(...cells.map(one => one.scrollWidth - one.clientWidth)), "
        "getComputedStyle(table.parentElement).overflowX, "
        "getComputedStyle(table.querySelector('button')).display, "
        "table.innerText, cells.map(one => one.textContent)]})"
    )
    assert len(found) > 1
    for right, beyond, overflow, button, text, cells in found:
        assert right <= A4 + 1 and beyond <= 1
        assert (overflow, button) == ("visible", "contents")
        text = "".join(text.split())
        assert all("".join(cell.split()) in text for cell in cells)


def contrast(one, other):
    """Of two colours, as WCAG has it: 1 to 21."""

    def light(colour):
        shades = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        shades = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shades]
        return sum(share * s for share, s in zip((0.2126, 0.7152, 0.0722), shades, strict=True))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_known_colours():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_colours_are_read_on_white_paper(printed):
    script = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0])"
    for names, least in ((TEXTS, 4.5), (LINES, 3)):
        for name in names:
            colour = printed.execute_script(script, f"--{name}").strip()
            colour = colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
            assert contrast(colour, "#ffffff") >= least, name
    white = "return getComputedStyle(document.body).backgroundColor"
    assert printed.execute_script(white) == "rgb(255, 255, 255)"
