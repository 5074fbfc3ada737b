import re
from xml.etree import ElementTree

from pipeline.pages.figures import plot


def drawn(name="roc", alt='two <lines> & a "quote"'):
    with plot.drawing() as (found, (axes,)):
        axes.plot([0, 1, 2], [0, 1, 0], color=plot.LINES[0], marker="o")
        axes.fill_between([0, 1], [1, 1], color=plot.FAKE, alpha=0.2)
        axes.set_xticks([0, 1], ["$x$", "<b>\u00e9"])
        plot.literal_text(axes)
        axes.set_xlabel("cosine")
        return plot.svg(found, name, alt)


def test_colours_are_the_pages_variables():
    text = drawn()
    assert "var(--line-0)" in text
    assert "var(--fake)" in text
    assert re.findall(r"#0[0-9a-f]{2}e5d", text) == []
    assert "<style" not in text
    assert "metadata" not in text


def test_it_is_whole_xml_that_scales_and_says_what_it_shows():
    text = drawn()
    root = ElementTree.fromstring(text.replace("xlink:", ""))
    assert root.attrib["aria-label"] == 'two <lines> & a "quote"'
    assert root.attrib["role"] == "img"
    assert set(root.attrib) == {"viewBox", "role", "aria-label"}
    assert "$x$" in "".join(root.itertext())
    assert "<b>\u00e9" in "".join(root.itertext())


def test_ids_of_two_drawings_differ_and_are_all_there():
    one, other = drawn("figure4-a"), drawn("figure4-b")
    ids = set(re.findall(r'\bid="([^"]*)"', one))
    assert ids.isdisjoint(re.findall(r'\bid="([^"]*)"', other))
    used = re.findall(r'href="#([^"]*)"', one) + re.findall(r"url\(#([^)]*)\)", one)
    assert used
    assert set(used) <= ids


def test_the_same_drawing_is_the_same_text():
    assert drawn() == drawn()
