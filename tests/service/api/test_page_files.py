"""Scripts and styles of the pages: fetched once per version, all named by the page, and nothing else is handed out."""

import re

import pytest

from service.web.page_files import modules_of, page_files, versioned_path


@pytest.mark.parametrize("path", ["/", "/system", "/bundles", "/jobs/00000000-0000-4000-8000-000000000000"])
def test_a_page_names_all_that_it_needs_by_addresses_that_may_be_kept(ask, path) -> None:
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', ask("GET", path).text))
    scripts = {address.rpartition("/")[2] for address in named if address.endswith(".js")}
    assert {
        "theme.js",
        "shell.js",
        "api.js",
        "elements.js",
    } <= scripts  # the last ones are imported by others
    for address in named:
        answer = ask("GET", address)
        assert answer.status_code == 200 and answer.content
        assert "immutable" in answer.headers["cache-control"], address
    imported = {name for script in scripts for name in re.findall(r'"\./([\w-]+\.js)"', text_of(script))}
    assert imported <= scripts


def text_of(name: str) -> str:
    return page_files()[name].content.decode()


def test_each_module_is_named_once_though_several_import_it() -> None:
    modules = modules_of("review.js")
    assert len(set(modules)) == len(modules) > 15 and "review.js" not in modules


def test_without_the_version_a_file_is_asked_for_again_each_time(ask) -> None:
    for path in ("/static/api.js", "/static/0123456789ab/api.js"):
        answer = ask("GET", path)
        assert answer.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": answer.headers["etag"]}
        assert ask("GET", path, headers=known).status_code == 304
    assert ask("GET", f"{versioned_path()}/api.js").content == answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.js",
        "/static/a/b/api.js",
        "/static/%2e%2e/pages.py",
        "/static/",
        "/static/..%2fpages.py",
    ],
)
def test_nothing_else_is_handed_out(ask, path) -> None:
    answer = ask("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
