"""Pages in a real browser: nothing fails, nothing is fetched, tables sort, nothing overflows."""

import json
import shutil

import pytest

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


@pytest.fixture(scope="module", params=["report", "image", "verdicts"])
def page(request, hostile, item, browser):
    """The report of the hostile corpus, one of its images, verdicts on all of them.

    (Its uri, what it logged, what it did.)
    """
    path = hostile / "store" / "reports" / "odd.html"
    if request.param == "image":
        path = hostile / "one.html"
        name = '0_real/"><img src=x onerror=alert(2)>0.jpg'
        done = item("show", "odd.yaml", name, "--html", path, cwd=hostile)
        assert done.returncode == 0, done.stderr
    elif request.param == "verdicts":
        path = hostile / "verdicts.html"
        done = item("predict", "odd.yaml", "across", "corpus", "--html", path, cwd=hostile)
        assert done.returncode == 1, done.stderr  # one file has no caption
    browser.get_log("performance")
    browser.get(path.as_uri())
    return path.as_uri(), browser.get_log("browser"), browser.get_log("performance")


def test_no_error_no_request_and_no_alert(page, browser):
    uri, said, events = page
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
    assert '"><img src=x onerror=alert(2)>' in text
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
