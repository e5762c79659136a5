"""A YAML file that somebody wrote by hand: its content as plain values, and what is wrong with it by line and key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

import yaml

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one where PyYAML has it

Problem = tuple[tuple[int | str, ...], str]


class YamlRefused(ValueError):
    """A file that cannot be used; the text names file, line and key."""


Refused = TypeVar("Refused", bound=YamlRefused)


def read_yaml(file: Path, kind: type[YamlRefused]) -> object:
    """The content of a YAML file as plain values; an empty one is an empty mapping.

    Raises:
        YamlRefused: of the given kind; the file cannot be read, is not YAML, or says a key twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
        loader = _LOADER(text)
        root = loader.get_single_node()
        content = {} if root is None else loader.construct_document(root)
    except (OSError, UnicodeDecodeError) as error:
        raise kind(f"{file.name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise kind(f"{file.name}: line {line} is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise kind(f"{file.name} is not YAML: {error}") from None
    if root is not None:
        _refuse_repeated_keys(file, root, kind)
    return {} if content is None else content  # a document of comments alone is None


def refusal(file: Path, problems: Sequence[Problem], kind: type[Refused]) -> Refused:
    """An error that names file, line and key of each problem (key, what is wrong with it)."""
    lines = key_lines(file)
    told = []
    for loc, message in problems:
        path = tuple(part for part in loc if part != "[key]")
        known = next((path[:n] for n in range(len(path), -1, -1) if path[:n] in lines), ())
        told.append(f"line {lines.get(known, 1)}, {'.'.join(map(str, path)) or 'the whole'}: {message}")
    return kind(f"{file.name}: " + "; ".join(told))


def key_lines(file: Path) -> dict[tuple[int | str, ...], int]:
    """The line, from 1, on which every key of a YAML file stands."""
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=_LOADER)
    lines: dict[tuple[int | str, ...], int] = {}
    if root is not None:
        _note_lines(root, (), lines)
    return lines


def _refuse_repeated_keys(file: Path, node: yaml.Node, kind: type[YamlRefused]) -> None:
    """YAML takes the last of two equal keys without a word; here that would be something lost."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise kind(
                    f"{file.name}: line {key.start_mark.line + 1}, {key.value}: this key stands there twice"
                )
            seen.add(key.value)
            _refuse_repeated_keys(file, value, kind)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_repeated_keys(file, each, kind)


def _note_lines(
    node: yaml.Node, path: tuple[int | str, ...], lines: dict[tuple[int | str, ...], int]
) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[*path, key.value] = key.start_mark.line + 1
            _note_lines(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            _note_lines(value, (*path, place), lines)
