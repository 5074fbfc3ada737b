import base64
import re
from hashlib import sha256

from pipeline.pages.blocks import Facts, Heading, Pictures, Section, Words
from pipeline.pages.page import render
from pipeline.pages.picture import Box, Picture

BAD = "</title><script>alert(1)</script>\"'><b>\u202e\x1b\ud800"
SHOWN = (
    "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&gt;&lt;b&gt;\\u202e\\x1b\\ud800"
)


def test_every_text_is_escaped_wherever_it_stands():
    picture = Picture(BAD, BAD, [BAD], [Box(BAD, 0.5, 0.1, 0.1, 0.9, 0.9)], None, BAD, "real")
    blocks = [Words(BAD), Heading(BAD), Facts([(BAD, BAD)]), Pictures([picture])]
    page = render(BAD, BAD, [(BAD, BAD)], [Section("one", BAD, blocks)], BAD, BAD)
    assert page.count("<script>") == 1
    assert "<b>" not in page
    assert not set(page) & set("\x1b\u202e")
    assert page.count(SHOWN) >= 15
    page.encode("utf-8")


def test_between_backticks_stands_code_and_a_single_one_is_a_letter():
    blocks = [Words("run `item <x>` now"), Words("a ` b")]
    page = render("t", "k", [], [Section("one", "One", blocks)], "m")
    assert "run <code>item &lt;x&gt;</code> now" in page
    assert '<p class="plain">a ` b</p>' in page


def test_the_policy_names_the_script_by_its_hash():
    page = render("t", "k", [], [], "m")
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_a_state_is_near_the_beginning():
    page = render("t", "k", [], [], "m", "f" * 64)
    assert page.index("f" * 64) < 2_000
