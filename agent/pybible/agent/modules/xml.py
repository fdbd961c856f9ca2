"""xml: reads and changes parts of an XML document, by paths of XPath. The host needs lxml."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import (
    Change,
    Context,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.files import back_up, beside, replace
from pybible.agent.modules.xml_document import Document, Node, children, copies, same, split_path
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of xml."""

    path: PathText | None = arg(default=None, aliases=("dest", "file"), doc="the file")
    xmlstring: str | None = arg(default=None, doc="the document itself, in the place of a file")
    xpath: str | None = arg(default=None, doc="path to what is meant")
    namespaces: Mapping[str, str] = arg(default_factory=dict, doc="prefix in xpath -> namespace")
    state: Literal["absent", "present"] = arg(
        default="present", aliases=("ensure",), doc="whether what xpath leads to is to be there"
    )
    value: JsonValue = arg(default=None, raw=True, doc="what elements, or attribute, are to say")
    attribute: JsonValue = arg(default=None, raw=True, doc="the attribute of the elements that value is for")
    add_children: list[JsonValue] | None = arg(default=None, doc="elements to be added: names, or name -> value")
    set_children: list[JsonValue] | None = arg(default=None, doc="elements in the place of those that are there")
    count: bool = arg(default=False, doc="count what xpath leads to")
    print_match: bool = arg(default=False, doc="give the paths of what xpath leads to")
    pretty_print: bool = arg(default=False, doc="indent the document")
    content: Literal["attribute", "text"] | None = arg(default=None, doc="give attributes or text of the elements")
    input_type: Literal["xml", "yaml"] = arg(default="yaml", doc="how children are written")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    strip_cdata_tags: bool = arg(default=False, doc="without the CDATA around texts")
    insertbefore: bool = arg(default=False, doc="add children before the first element, not into all")
    insertafter: bool = arg(default=False, doc="add children after the last element, not into all")


def plan(args: Args, context: Context) -> Plan:
    """Compare the document with what is asked."""
    data = _read(args)
    document = Document(
        data, args.path or "xml string", args.namespaces, tidy=args.pretty_print, plain=args.strip_cdata_tags
    )
    values: JsonObject = {}
    if args.xpath is None:
        changed = document.text(pretty=args.pretty_print) != data if args.pretty_print else False
        return _outcome(args, context, document, values, before="", changed=changed)
    document.check(args.xpath)
    actions: JsonObject = {"xpath": args.xpath, "namespaces": dict(args.namespaces), "state": args.state}
    values["actions"] = actions
    if args.count or args.print_match or args.content is not None:
        return Unchanged(values=values | _told(args, document, args.xpath))
    before = document.shown() if context.diff else ""
    changed = _change(args, document, args.xpath)
    return _outcome(args, context, document, values, before=before, changed=changed)


def _read(args: Args) -> bytes:
    if args.xmlstring is not None:
        return args.xmlstring.encode("utf-8")
    path = Path(str(args.path))
    if not path.is_file():
        raise ModuleError(f"The target XML source '{args.path}' does not exist.")
    return path.read_bytes()


def _outcome(
    args: Args, context: Context, document: Document, values: JsonObject, *, before: str, changed: bool
) -> Plan:
    data = document.text(pretty=args.pretty_print)
    if args.xmlstring is not None:
        values["xmlstring"] = data.decode()
        return Change(values=values, apply=lambda: None) if changed else Unchanged(values=values)
    if not changed:
        return Unchanged(values=values)
    diff: JsonValue = {"before": before, "after": document.shown()} if context.diff else None
    return Change(values=values, diff=diff, apply=partial(_write, args, data))


def _write(args: Args, data: bytes) -> JsonObject:
    path = str(args.path)
    backup = back_up(path) if args.backup else ""
    target = os.path.realpath(path)
    with beside(target) as temporary:
        Path(temporary).write_bytes(data)
        replace(temporary, target, FileAttributes())
    return {"backup_file": backup} if backup else {}


def _told(args: Args, document: Document, xpath: str) -> JsonObject:
    found = document.find(xpath)
    if args.count:
        return {"count": len(found), "msg": f"found {len(found)} nodes"}
    found = document.elements(xpath)
    if args.print_match:
        paths = [document.path_of(node) for node in found]
        return {"matches": [], "msg": f"selector '{xpath}' match: {json.dumps(paths)}"}
    if not found:
        raise ModuleError(f"Xpath {xpath} does not reference a node!")
    matches: list[JsonValue] = [
        {node.tag: dict(node.attrib) if args.content == "attribute" else node.text} for node in found
    ]
    return {"matches": matches, "count": len(found), "msg": len(found)}


def _change(args: Args, document: Document, xpath: str) -> bool:
    """Change the document; return whether that was one."""
    if args.state == "absent":
        return _remove(document, xpath)
    if args.set_children is not None:
        return _set_children(args, document, document.elements(xpath))
    if args.add_children:
        return _add_children(args, document, document.elements(xpath))
    made = document.make(xpath)
    inner, last = split_path(xpath)
    if args.value is None:
        return made
    if last.startswith("@") and args.attribute is None:
        return _set_attribute(document, document.elements(inner), last[1:], str(args.value)) or made
    if args.attribute is not None:
        return _set_attribute(document, document.elements(xpath), str(args.attribute), str(args.value)) or made
    return _set_text(document.elements(xpath), str(args.value)) or made


def _remove(document: Document, xpath: str) -> bool:
    inner, last = split_path(xpath)
    if last.startswith("@"):
        name = document.name(last[1:])
        holders = [node for node in document.elements(inner) if name in node.attrib]
        for node in holders:
            del node.attrib[name]
        return bool(holders)
    found = document.elements(xpath)
    for node in found:
        parent = node.getparent()
        if parent is None:
            raise ModuleError(f"Xpath {xpath} leads to the root of the document, which can't be removed")
        parent.remove(node)
    return bool(found)


def _set_attribute(document: Document, nodes: list[Node], name: str, value: str) -> bool:
    name = document.name(name)
    wrong = [node for node in nodes if node.attrib.get(name) != value]
    for node in wrong:
        node.attrib[name] = value
    return bool(wrong)


def _set_text(nodes: list[Node], value: str) -> bool:
    wrong = [node for node in nodes if (node.text or "") != value]
    for node in wrong:
        node.text = value
    return bool(wrong)


def _set_children(args: Args, document: Document, nodes: list[Node]) -> bool:
    wanted = children(document, args.set_children or [], as_xml=args.input_type == "xml")
    changed = False
    for node in nodes:
        there = list(node)
        if len(there) == len(wanted) and all(same(*pair) for pair in zip(there, wanted, strict=True)):
            continue
        for child in there:
            node.remove(child)
        for child in copies(wanted):
            node.append(child)
        changed = True
    return changed


def _add_children(args: Args, document: Document, nodes: list[Node]) -> bool:
    wanted = children(document, args.add_children or [], as_xml=args.input_type == "xml")
    if not nodes:
        return False
    if not args.insertbefore and not args.insertafter:
        for node in nodes:
            for child in copies(wanted):
                node.append(child)
        return True
    beside_it = nodes[0] if args.insertbefore else nodes[-1]
    parent = beside_it.getparent()
    if parent is None:
        raise ModuleError(f"Xpath {args.xpath} leads to the root of the document, beside which there is nothing")
    index = parent.index(beside_it) + (0 if args.insertbefore else 1)
    for offset, child in enumerate(wanted):
        parent.insert(index + offset, child)
    return True


MODULE = Module(
    name="xml",
    args=Args,
    plan=plan,
    mutually_exclusive=(
        ("add_children", "content", "count", "print_match", "set_children", "value"),
        ("path", "xmlstring"),
        ("insertbefore", "insertafter"),
    ),
    required_one_of=(("path", "xmlstring"),),
    required_by=(
        ("add_children", ("xpath",)),
        ("attribute", ("value",)),
        ("content", ("xpath",)),
        ("set_children", ("xpath",)),
        ("value", ("xpath",)),
    ),
    required_if=(
        ("count", True, ("xpath",)),
        ("print_match", True, ("xpath",)),
        ("insertbefore", True, ("xpath",)),
        ("insertafter", True, ("xpath",)),
    ),
)
