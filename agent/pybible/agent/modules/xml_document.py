"""xml_document: an XML document of lxml, and what the module xml does to it."""

from __future__ import annotations

import importlib
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Protocol

from pybible.agent.modules.api import ModuleError
from pybible.wire.values import JsonValue

# The last part of a path that can be made: an attribute, or an element with at most one condition.
_ATTRIBUTE = re.compile(r"@(?P<name>[\w.:-]+)$")
_ELEMENT = re.compile(
    r"(?P<name>[\w.:-]+)"
    r"(?:\[(?P<what>@?[\w.:-]+|text\(\))\s*=\s*(?P<quote>[\"'])(?P<value>.*)(?P=quote)\])?$",
    re.DOTALL,
)


class Node(Protocol):
    """An element, as lxml has it."""

    tag: str
    text: str | None
    tail: str | None
    attrib: dict[str, str]

    def getparent(self) -> Node | None:
        """Return the element around it."""

    def append(self, child: Node) -> None:
        """Put a child behind the others."""

    def insert(self, index: int, child: Node) -> None:
        """Put a child among the others."""

    def remove(self, child: Node) -> None:
        """Take a child out, with the text behind it."""

    def index(self, child: Node) -> int:
        """Return where a child is."""

    def __iter__(self) -> Iterator[Node]:
        """Give the children."""

    def __len__(self) -> int:
        """Return how many children there are."""


class Document:
    """A document that was read. ModuleError when lxml is not there, or the text is no XML."""

    def __init__(self, data: bytes, name: str, namespaces: Mapping[str, str], *, tidy: bool, plain: bool) -> None:
        if find_spec("lxml") is None:
            host = socket.gethostname()
            raise ModuleError(
                f"Failed to import the required Python library (lxml) on {host}'s Python {sys.executable}. Install it "
                "beside the agent."
            )
        self._etree = importlib.import_module("lxml.etree")
        self._namespaces = dict(namespaces)
        parser = self._etree.XMLParser(remove_blank_text=tidy, strip_cdata=plain, resolve_entities=False)
        try:
            self._tree = self._etree.parse(BytesIO(data), parser, base_url=Path(name).name)
        except self._etree.XMLSyntaxError as error:
            raise ModuleError(f"Error while parsing document: {name} ({error})") from error

    def text(self, *, pretty: bool) -> bytes:
        """Return the document as it is written."""
        return bytes(self._etree.tostring(self._tree, xml_declaration=True, encoding="UTF-8", pretty_print=pretty))

    def shown(self) -> str:
        """Return the document as a diff shows it."""
        return self.text(pretty=True).decode()

    def _plain(self) -> str:
        return repr(bytes(self._etree.tostring(self._tree)))

    def check(self, xpath: str) -> None:
        """Raise ModuleError when `xpath` is no path to nodes."""
        try:
            self._etree.XPath(xpath)
        except self._etree.XPathSyntaxError as error:
            raise ModuleError(f"Syntax error in xpath expression: {xpath} ({error})") from error

    def elements(self, xpath: str) -> list[Node]:
        """Return the elements that a path leads to. ModuleError when it leads to something else."""
        found = self.find(xpath)
        if any(isinstance(item, str) for item in found):
            raise ModuleError(f"Xpath {xpath} does not reference a node!")
        return found

    def find(self, xpath: str) -> list[Node]:
        """Return the elements, or the values of attributes, that a path leads to."""
        try:
            found = self._tree.xpath(xpath, namespaces=self._namespaces)
        except self._etree.XPathError as error:
            raise ModuleError(f"Xpath {xpath} causes a failure: {error}\n  -- tree is {self._plain()}") from error
        if not isinstance(found, list):
            raise ModuleError(f"Xpath {xpath} causes a failure: it leads to no nodes\n  -- tree is {self._plain()}")
        return found

    def path_of(self, node: Node) -> str:
        """Return the path of an element."""
        return str(self._tree.getpath(node))

    def name(self, written: str) -> str:
        """Return a name with its namespace in the place of the prefix."""
        prefix, colon, local = written.rpartition(":")
        if not colon:
            return written
        if prefix not in self._namespaces:
            raise ModuleError(f"namespace '{prefix}' of '{written}' is not among namespaces")
        return f"{{{self._namespaces[prefix]}}}{local}"

    def element(self, name: str) -> Node:
        """Return a new element. ModuleError when it can't have that name."""
        try:
            made: Node = self._etree.Element(self.name(name))
        except ValueError as error:
            raise ModuleError(f"'{name}' is no name of an element: {error}") from error
        return made

    def parsed(self, text: str) -> Node:
        """Return an element that is written as XML."""
        try:
            made: Node = self._etree.fromstring(text)
        except self._etree.XMLSyntaxError as error:
            raise ModuleError(f"Error while parsing child element: {error}") from error
        return made

    def make(self, xpath: str) -> bool:
        """See that a path leads somewhere; return whether something had to be made for it."""
        if self.find(xpath):
            return False
        inner, last = split_path(xpath)
        attribute, element = _ATTRIBUTE.match(last), _ELEMENT.match(last)
        if not inner or not (attribute or element):
            raise ModuleError(f"Can't process Xpath {xpath} in order to spawn nodes! tree is {self._plain()}")
        self.make(inner)
        for parent in self.elements(inner):
            if attribute is not None:
                parent.attrib[self.name(attribute["name"])] = ""
            elif element is not None:
                parent.append(self._conditioned(element))
        return True

    def _conditioned(self, element: re.Match[str]) -> Node:
        """Return a new element for which a path's condition holds."""
        node = self.element(element["name"])
        what, value = element["what"], element["value"]
        if what == "text()":
            node.text = value
        elif what is not None and what.startswith("@"):
            node.attrib[self.name(what[1:])] = value
        elif what is not None:
            child = self.element(what)
            child.text = value
            node.append(child)
        return node


def split_path(xpath: str) -> tuple[str, str]:
    """Return a path without its last part, and that part. A slash in a condition, or in quotes, separates nothing."""
    depth, quote, cut = 0, "", -1
    for index, letter in enumerate(xpath):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[(":
            depth += 1
        elif letter in "])":
            depth -= 1
        elif letter == "/" and depth == 0:
            cut = index
    return (xpath[:cut], xpath[cut + 1 :]) if cut > 0 else ("", xpath)


def children(document: Document, given: Sequence[JsonValue], *, as_xml: bool) -> list[Node]:
    """Return the elements that a task's list of children describes."""
    return [document.parsed(str(item)) if as_xml else _child(document, item) for item in given]


def _child(document: Document, given: JsonValue) -> Node:
    if isinstance(given, str):
        return document.element(given)
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ModuleError("Can only create children from hashes with one key")
    name, value = next(iter(given.items()))
    node = document.element(str(name))
    if not isinstance(value, Mapping):
        node.text = None if value is None else str(value)
        return node
    for key, inner in value.items():
        if key == "+value":
            node.text = str(inner)
        elif key == "_":
            for item in inner:
                node.append(_child(document, item))
        else:
            node.attrib[document.name(str(key))] = str(inner)
    return node


def same(one: Node, other: Node) -> bool:
    """Return whether two elements say the same; space around texts does not count."""
    if one.tag != other.tag or (one.text or "").strip() != (other.text or "").strip():
        return False
    if dict(one.attrib) != dict(other.attrib) or len(one) != len(other):
        return False
    return all(same(*pair) for pair in zip(one, other, strict=True))


def copies(nodes: Sequence[Node]) -> list[Node]:
    """Return elements that can be put into one more place."""
    return [deepcopy(node) for node in nodes]
