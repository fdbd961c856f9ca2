"""test_frozen: what a frozen version said still means the same: no number and no type of it was given another sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from tests.protocol.spoken import frozen, today

VERSIONS = frozen()


def messages(files: FileDescriptorSet) -> Iterator[tuple[str, DescriptorProto]]:
    for file in files.file:
        for message in file.message_type:
            yield from _with_nested(file.package, message)


def _with_nested(prefix: str, message: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    name = f"{prefix}.{message.name}"
    yield name, message
    for nested in message.nested_type:
        yield from _with_nested(name, nested)


def enums(files: FileDescriptorSet) -> Iterator[tuple[str, EnumDescriptorProto]]:
    for file in files.file:
        yield from ((f"{file.package}.{each.name}", each) for each in file.enum_type)
    for name, message in messages(files):
        yield from ((f"{name}.{each.name}", each) for each in message.enum_type)


def meaning(message: DescriptorProto, field: FieldDescriptorProto) -> tuple[object, ...]:
    """Return all of a field that the other end depends on."""
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return field.name, field.type, field.label, field.type_name, field.proto3_optional, oneof


def reserved(message: DescriptorProto | EnumDescriptorProto, number: int, name: str) -> bool:
    """Whether neither can be used again."""
    # Of enums the end is one that is reserved, of messages it is not.
    past = 1 if isinstance(message, EnumDescriptorProto) else 0
    ranges = any(each.start <= number < each.end + past for each in message.reserved_range)
    return ranges and name in message.reserved_name


def changed(then: FileDescriptorSet, now: FileDescriptorSet) -> list[str]:
    """Return what an end of `then` would misunderstand."""
    found = []
    messages_now, enums_now = dict(messages(now)), dict(enums(now))
    for name, message in messages(then):
        if name not in messages_now:
            found.append(f"{name} is gone")
            continue
        fields = {each.number: each for each in messages_now[name].field}
        for field in message.field:
            other = fields.get(field.number)
            if other is None and not reserved(messages_now[name], field.number, field.name):
                found.append(f"{name}.{field.name} is gone, and {field.number} or its name is not reserved")
            elif other is not None and meaning(messages_now[name], other) != meaning(message, field):
                found.append(f"{name}.{field.name} ({field.number}) is something else")
    for name, enum in enums(then):
        values: Mapping[int, str] = (
            {each.number: each.name for each in enums_now[name].value} if name in enums_now else {}
        )
        found += [
            f"{name}.{value.name} ({value.number}) is something else"
            for value in enum.value
            if values.get(value.number) != value.name
            and not (name in enums_now and reserved(enums_now[name], value.number, value.name))
        ]
    return found + _calls_changed(then, now)


def _calls_changed(then: FileDescriptorSet, now: FileDescriptorSet) -> list[str]:
    def calls(files: FileDescriptorSet) -> dict[str, tuple[object, ...]]:
        return {
            f"{file.package}.{service.name}/{each.name}": (
                *(each.input_type, each.output_type, each.client_streaming, each.server_streaming),
            )
            for file in files.file
            for service in file.service
            for each in service.method
        }

    found = calls(now)
    return [f"{name} is something else" for name, call in calls(then).items() if found.get(name) != call]


def test_there_is_a_version_of_before() -> None:
    assert VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_said_still_means_the_same(version: str) -> None:
    assert changed(VERSIONS[version], today()) == []


def one(**message: object) -> FileDescriptorSet:
    file = FileDescriptorProto(package="p", message_type=[DescriptorProto(name="M", **message)])  # type: ignore[arg-type]
    return FileDescriptorSet(file=[file])


def field(
    name: str, number: int, kind: FieldDescriptorProto.Type.ValueType = FieldDescriptorProto.TYPE_STRING
) -> object:
    return FieldDescriptorProto(name=name, number=number, type=kind)


RANGE = DescriptorProto.ReservedRange(start=1, end=2)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({"field": [field("a", 1), field("b", 2)]}, []),
        ({"field": [field("a", 2)]}, ["p.M.a is gone, and 1 or its name is not reserved"]),
        ({"field": [field("b", 1)]}, ["p.M.a (1) is something else"]),
        ({"field": [field("a", 1, FieldDescriptorProto.TYPE_INT32)]}, ["p.M.a (1) is something else"]),
        ({}, ["p.M.a is gone, and 1 or its name is not reserved"]),
        ({"reserved_range": [RANGE]}, ["p.M.a is gone, and 1 or its name is not reserved"]),
        ({"reserved_range": [RANGE], "reserved_name": ["a"]}, []),
    ],
    ids=["added", "renumbered", "renamed", "retyped", "removed", "half reserved", "reserved"],
)
def test_a_change_that_the_other_end_would_misunderstand_is_seen(now: dict[str, object], found: list[str]) -> None:
    assert changed(one(field=[field("a", 1)]), one(**now)) == found
