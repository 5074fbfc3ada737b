"""Every README: what it links to is there, the headings within it too."""

import re
from pathlib import Path

import pytest

from pipeline.shipped import folder

ROOT = folder("dags").parent
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
READMES = sorted(
    path
    for top in (".", "pipeline", "dags", "sql", "tests", "data")
    for path in (ROOT.glob("README.md") if top == "." else (ROOT / top).rglob("README.md"))
)


def anchors(path: Path) -> set[str]:
    """What `#…` may name in a file, as GitHub makes it of its headings."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(path: Path, text: str) -> list[str]:
    """Relative links of a text that lead nowhere."""
    lost = []
    for link in LINK.findall(FENCE.sub("", text)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    return lost


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert dead(path, path.read_text(encoding="utf-8")) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "other.md").write_text("# What it is, and why\n```\n# no heading\n```\n")
    text = "[a](other.md#what-it-is-and-why) [b](other.md#no-heading) [c](none.md) [d](#here)"
    readme = tmp_path / "README.md"
    readme.write_text(text + "\n## Here\n")
    assert dead(readme, text) == ["other.md#no-heading", "none.md"]


def test_the_first_readme_fits_in_a_head():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250
