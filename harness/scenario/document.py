"""YAML 1.2 text in, plain values with the place of every key and value out.

Works on the parser's events, so that nothing is built before its size is known: a small
text can describe an enormous tree through aliases.
"""

from __future__ import annotations

from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from harness.scenario.problems import LINE_BREAK, Mark, Problem, quoted
from harness.scenario.scalars import Scalar, resolve
from harness.scenario.tree import Node

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_VALUES = 50_000  # with every alias written out


def read(text: str, *, option: str = "") -> tuple[Node | None, list[Problem]]:
    """The document and what is wrong with its YAML; None when it cannot be read at all.

    Args:
        text: The YAML.
        option: The command line option that the text came from, where it is not a file.
    """
    reader = _Reader(option)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None, [Problem(Mark(1, 1, option), "the file is larger than 1 MiB")]
    try:
        root = reader.document(YAML(typ="safe", pure=True).parse(text))
    except _StopReading as stop:
        return None, [*reader.problems, stop.problem]
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = reader.last if place is None else Mark(place.line + 1, place.column + 1, option)
        return None, [*reader.problems, Problem(mark, _yaml_message(error))]
    except ReaderError as error:
        before = LINE_BREAK.split(text[: error.position])
        mark = Mark(len(before), len(before[-1]) + 1, option)
        message = f"the character {_codepoint(error.character)} is not allowed in YAML"
        return None, [*reader.problems, Problem(mark, message)]
    except (OverflowError, ValueError):  # what chr() makes of it depends on Python's version
        message = "this is not YAML: an escape names a character beyond U+10FFFF"
        return None, [*reader.problems, Problem(reader.last, message)]
    except Exception as error:  # noqa: BLE001 - whatever the parser trips over, the text is at fault
        message = f"this is not YAML: {error}"
        return None, [*reader.problems, Problem(reader.last, message)]
    return root, reader.problems


def _codepoint(character: object) -> str:
    code = ord(character) if isinstance(character, str) else character
    return f"U+{code:04X}" if isinstance(code, int) else str(code)


def _yaml_message(error: MarkedYAMLError) -> str:
    problem = str(error.problem or "cannot be read").replace("character '\\t'", "a tab")
    context = f" ({error.context})" if error.context else ""
    return f"this is not YAML: {problem}{context}"


class _StopReading(Exception):  # noqa: N818 - not an error of the program
    """Reading cannot go on."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(mark, message)


class _Reader:
    """Builds nodes from events; depth is bounded, so recursion is too."""

    def __init__(self, option: str) -> None:
        self.option = option
        self.last = Mark(1, 1, option)
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node | None] = {}
        self._aliases = 0
        self._size = 0
        self._events: Iterator[Event] = iter(())

    def document(self, events: Iterator[Event]) -> Node | None:
        """The one document of the stream; None when there is none."""
        self._events = events
        root = None
        seen = False
        for event in events:
            match event:
                case StreamStartEvent() | StreamEndEvent() | DocumentEndEvent():
                    continue
                case DocumentStartEvent():
                    mark = self._mark(event)
                    if seen:
                        raise _StopReading(mark, "a second document starts here; a file holds one")
                    if event.version is not None and tuple(event.version) != (1, 2):
                        raise _StopReading(mark, "only YAML 1.2 is read; remove %YAML")
                    seen = True
                case _:
                    root = self._node(event, depth=1)
        return root

    def _mark(self, event: Event) -> Mark:
        place = event.start_mark
        self.last = Mark(place.line + 1, place.column + 1, self.option)
        return self.last

    def _end(self, event: Event) -> Mark:
        return Mark(event.end_mark.line + 1, event.end_mark.column + 1, self.option)

    def _node(self, event: Event, *, depth: int) -> Node:
        mark = self._mark(event)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, mark)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise _StopReading(mark, f"tags such as {quoted(str(tag))} are not supported")
        self._grow(1, mark)
        before = self._size
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None  # until it is complete
        match event:
            case ScalarEvent():
                node = Node(_scalar(event), mark, self._end(event))
            case MappingStartEvent():
                node = self._mapping(mark, self._deeper(depth, mark))
            case SequenceStartEvent():
                node = self._sequence(mark, self._deeper(depth, mark))
            case _:
                raise _StopReading(mark, "this is not YAML")
        node = Node(node.value, node.mark, node.end, node.keys, 1 + self._size - before)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _deeper(self, depth: int, mark: Mark) -> int:
        if depth > MAX_DEPTH:
            raise _StopReading(mark, f"nested deeper than {MAX_DEPTH} levels")
        return depth + 1

    def _grow(self, by: int, mark: Mark) -> None:
        self._size += by
        if self._size > MAX_VALUES:
            raise _StopReading(mark, f"more than {MAX_VALUES:,} values, aliases written out")

    def _alias(self, name: str, mark: Mark) -> Node:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise _StopReading(mark, f"more than {MAX_ALIASES} aliases")
        if name not in self._anchors:
            raise _StopReading(mark, f"there is no anchor &{name} before this alias")
        node = self._anchors[name]
        if node is None:
            raise _StopReading(mark, f"the alias *{name} stands inside its own anchor")
        self._grow(node.size, mark)
        return node

    def _sequence(self, mark: Mark, depth: int) -> Node:
        items = []
        event = next(self._events)
        while not isinstance(event, SequenceEndEvent):
            items.append(self._node(event, depth=depth))
            event = next(self._events)
        return Node(items, mark, self._end(event))

    def _mapping(self, mark: Mark, depth: int) -> Node:
        children: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        event = next(self._events)
        while not isinstance(event, MappingEndEvent):
            key, place = self._key(event), self.last
            child = self._node(next(self._events), depth=depth)
            if key in children:
                first = keys[key].line
                message = f"the key {quoted(key)} is there twice; the first is on line {first}"
                self.problems.append(Problem(place, message))
            else:
                children[key], keys[key] = child, place
            event = next(self._events)
        return Node(children, mark, self._end(event), keys)

    def _key(self, event: Event) -> str:
        mark = self._mark(event)
        if not isinstance(event, ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise _StopReading(mark, "a key must be plain text")
        value = _scalar(event)
        if not isinstance(value, str):
            hint = f'; write it in quotes: "{event.value}"' if event.value else ""
            raise _StopReading(mark, f"a key must be text, found {quoted(value)}{hint}")
        return value


def _scalar(event: ScalarEvent) -> Scalar:
    plain_style = event.style is None and event.implicit[0]
    return resolve(event.value) if plain_style else str(event.value)
