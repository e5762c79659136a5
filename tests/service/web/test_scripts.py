"""The scripts and templates themselves: text is only ever set as text, and nothing comes from elsewhere."""

import re

import pytest

from service.web.page_files import FOLDER
from service.web.pages import WEB

SCRIPTS = sorted(FOLDER.glob("*.js"))
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
STYLES = sorted(FOLDER.glob("*.css"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_only_ever_set_text(path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", path.read_text()
    )


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_inline_script_or_style_and_nothing_from_elsewhere(path) -> None:
    html = path.read_text()
    assert not re.search(r"<style|style=|\son\w+=|javascript:|https?://|\|\s*safe", html)
    assert set(re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)) <= {""}


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_styles_fetch_nothing(path) -> None:
    assert not re.search(r"url\(|@import", path.read_text())
