"""The documents say nothing that is not so: links, commands, settings and functions they name exist."""

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from click.testing import Result

from service import cli
from worker import errors

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
WALK = ROOT / "docs" / "developers" / "architecture.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"`((?:service|worker|models)/[\w/]+\.py):([\w.]+)`")
FILE = re.compile(r"`((?:service|worker|models|tests|deploy|docs)/[\w/.-]*)`")
COMMAND = re.compile(r"(?:^|[\s`(/])penumbra ([a-z][^`\n|#&>]*)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=DOCUMENTS, ids=name_of)
def document(request: pytest.FixtureRequest) -> Path:
    return request.param


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    lowered = (heading.strip().lower() for heading in HEADING.findall(path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in lowered}


def test_links_lead_somewhere(document) -> None:
    for link in LINK.findall(document.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (document.parent / target).resolve() if target else document
        assert path.is_relative_to(ROOT) and path.exists(), link
        assert not anchor or anchor in anchors(path), link


def test_files_that_are_named_exist(document) -> None:
    missing = [name for name in FILE.findall(document.read_text()) if not (ROOT / name).exists()]
    assert not missing


def commands(text: str) -> Iterator[list[str]]:
    """Words after `penumbra` in code, whether in a block (continued lines joined) or within a sentence."""
    code = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    code += re.findall(r"`(penumbra [^`]+)`", FENCE.sub("", text))
    for part in code:
        for line in part.splitlines():
            if not line.lstrip().startswith("#"):
                yield from (shlex.split(found) for found in COMMAND.findall(line))


@pytest.fixture(scope="module")
def help_of(penumbra) -> Callable[..., Result]:
    """A command's help, asked for once: the documents show the same commands over and over."""
    return cache(lambda *names: penumbra(*names, "--help"))


def test_commands_that_are_shown_are_understood(document, help_of) -> None:
    """The command exists and its help lists every option that is shown."""
    for words in commands(document.read_text()):
        done = help_of(*command_of(words))
        assert done.exit_code == 0, words
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in {"--help"} or re.search(rf"{option}\b", done.output), words


def command_of(words: list[str]) -> list[str]:
    """`bench mc` is a command in a group; everything else is one word."""
    groups = {group.name for group in cli.app.registered_groups}
    return words[:2] if words[0] in groups else words[:1]


def test_commands_are_found_in_documents() -> None:
    """The test above must not pass for want of something to test."""
    shown = {words[0] for path in DOCUMENTS for words in commands(path.read_text())}
    assert {"segment", "serve", "phantom", "evaluate"} <= shown


def defined(path: Path, name: str) -> bool:
    """Whether a file defines `function`, `Class` or `Class.method`."""
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == part
        ]
        if not found:
            return False
        body = found[0].body
    return True


def test_functions_that_are_named_exist(document) -> None:
    for file, name in PLACE.findall(document.read_text()):
        assert defined(ROOT / file, name), f"{file}:{name}"


def test_the_walk_has_fifteen_steps_that_begin_at_a_function() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", WALK.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 16))
    assert all(PLACE.fullmatch(where) for _, where in rows)


def test_decisions_are_short() -> None:
    for path in (ROOT / "docs" / "developers" / "decisions").glob("*.md"):
        assert len(path.read_text().splitlines()) <= 40, name_of(path)


def test_every_library_is_explained() -> None:
    named = re.findall(
        r'^    "([A-Za-z-]+)(?:\[\w+\])?[>=<]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    explained = (ROOT / "docs" / "developers" / "libraries.md").read_text().lower()
    assert not [name for name in named if not re.search(rf"\b{name.lower()}\b", explained)]


def test_every_reason_is_explained_to_users() -> None:
    codes = {each.code for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "code")}
    kinds = {"error", "rejected", "failed"}  # classes of reasons, not reasons
    explained = (ROOT / "docs" / "users" / "rest.md").read_text()
    assert not {code for code in codes - kinds if f"`{code}`" not in explained}
