"""spoken: the messages of other versions: those that were frozen, and those of a version that is yet to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar, cast

import grpc.aio
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from pybible.server.controller.daemon import Controller
from pybible.server.controller.local_users import LocalUser
from pybible.v1 import agent_pb2, blob_pb2, enrollment_pb2, fleet_pb2, run_pb2
from tests.support.controller import Holder, RunningController

FOLDER = Path(__file__).parent
OURS: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR for module in (agent_pb2, blob_pb2, enrollment_pb2, run_pb2, fleet_pb2)
)
# Numbers that no message uses.
_FIELD, _MEMBER = 30_000, 30_001

_T = TypeVar("_T")


def today() -> FileDescriptorSet:
    """Return what this version says."""
    found = FileDescriptorSet()
    for file in OURS:
        file.CopyToProto(found.file.add())
    return found


def frozen() -> dict[str, FileDescriptorSet]:
    """Return what each frozen version said, by its name."""
    return {path.stem: FileDescriptorSet.FromString(path.read_bytes()) for path in sorted(FOLDER.glob("*.binpb"))}


class Version(Protocol):
    """Some version's messages."""

    def through(self, name: str, data: bytes) -> bytes:
        """Return a message as that version, which read it or wrote it, has it. `name`: its full name."""


class Frozen:
    """A version of before: what it did not know is not there."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._pool = pool_of(files)

    def through(self, name: str, data: bytes) -> bytes:
        """Return what that version knows of the message."""
        message = GetMessageClass(self._pool.FindMessageTypeByName(name)).FromString(data)
        message.DiscardUnknownFields()
        return message.SerializeToString()


class Newer:
    """A version that is yet to come: every message has a field more, and every oneof a member more.

    Where a message is one of several and none is chosen, it is what only that version knows.
    """

    def __init__(self) -> None:
        files = today()
        for file in files.file:
            for message in file.message_type:
                _grow(message)
        self._pool = pool_of(files)

    def through(self, name: str, data: bytes) -> bytes:
        """Return the message with all that is new in it."""
        message = GetMessageClass(self._pool.FindMessageTypeByName(name)).FromString(data)
        for oneof in message.DESCRIPTOR.oneofs:
            if message.WhichOneof(oneof.name) is None:
                setattr(message, f"new_{oneof.name}", b"news")
        _fill(message)
        return message.SerializeToString()


def pool_of(files: FileDescriptorSet) -> DescriptorPool:
    """Return the descriptors of a version, apart from those of this one."""
    pool = DescriptorPool()
    for known in (duration_pb2, timestamp_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _grow(message: DescriptorProto) -> None:
    if message.options.map_entry:
        return
    for nested in message.nested_type:
        _grow(nested)
    optional = FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(name="new_field", number=_FIELD, type=FieldDescriptorProto.TYPE_STRING, label=optional)
    # Those of optional fields come last, and have one member for good.
    synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
    for index, oneof in enumerate(message.oneof_decl):
        if index not in synthetic:
            member = message.field.add(name=f"new_{oneof.name}", number=_MEMBER + index, oneof_index=index)
            member.type, member.label = FieldDescriptorProto.TYPE_BYTES, optional


def _fill(message: Message) -> None:
    if message.DESCRIPTOR.file.package == "pybible.v1":
        message.new_field = "news"  # type: ignore[attr-defined]
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        for part in _parts(field, value):
            _fill(part)


def _parts(field: FieldDescriptor, value: object) -> Iterator[Message]:
    entry = field.message_type
    assert entry is not None
    if entry.GetOptions().map_entry:
        if entry.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE:
            yield from cast("dict[str, Message]", value).values()
    elif isinstance(value, Message):
        yield value
    else:
        yield from cast("list[Message]", value)


@cache
def _method(path: str) -> MethodDescriptor:
    """Return what is called at `/package.Service/Method`."""
    full_name, _, name = path.strip("/").partition("/")
    services = [each for file in OURS for each in file.services_by_name.values()]
    return next(each for each in services if each.full_name == full_name).methods_by_name[name]


def _writing(version: Version, kind: Descriptor, write: Callable[[_T], bytes]) -> Callable[[_T], bytes]:
    return lambda message: version.through(kind.full_name, write(message))


def _reading(version: Version, kind: Descriptor, read: Callable[[bytes], _T]) -> Callable[[bytes], _T]:
    return lambda data: read(version.through(kind.full_name, data))


class Speaker:
    """A channel on which another version speaks, for stubs of this one."""

    def __init__(self, channel: grpc.aio.Channel, version: Version) -> None:
        self._channel = channel
        self._version = version

    def __getattr__(self, name: str) -> object:
        made = getattr(self._channel, name)
        if name not in {"unary_unary", "unary_stream", "stream_unary", "stream_stream"}:
            return made

        def call(path: str, *, request_serializer: object, response_deserializer: object, **more: object) -> object:
            method = _method(path)
            write = cast("Callable[[object], bytes]", request_serializer)
            read = cast("Callable[[bytes], object]", response_deserializer)
            return made(
                path,
                request_serializer=_writing(self._version, method.input_type, write),
                response_deserializer=_reading(self._version, method.output_type, read),
                **more,
            )

        return call

    async def __aenter__(self) -> Speaker:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *given: object) -> None:
        await self._channel.close()


class Neighbour(RunningController):
    """A controller of this version, with channels on which another one speaks."""

    def __init__(self, controller: Controller, version: Version) -> None:
        super().__init__(controller)
        self._version = version

    def channel(self, holder: Holder, *, address: str = "") -> grpc.aio.Channel:
        """As it says."""
        return self._speaking(super().channel(holder, address=address))

    def operator_channel(self, user: LocalUser | None = None) -> grpc.aio.Channel:
        """As it says."""
        return self._speaking(super().operator_channel(user))

    def enrollment_channel(self) -> grpc.aio.Channel:
        """As it says."""
        return self._speaking(super().enrollment_channel())

    def _speaking(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        return cast("grpc.aio.Channel", Speaker(channel, self._version))


class Speaking(grpc.aio.ServerInterceptor):
    """Makes a server one of another version."""

    def __init__(self, version: Version) -> None:
        self._version = version

    async def intercept_service(self, continuation, handler_call_details):  # type: ignore[no-untyped-def]
        """Return the handler of a call, with messages of that version."""
        handler = await continuation(handler_call_details)
        method = _method(handler_call_details.method)
        return handler._replace(
            request_deserializer=_reading(self._version, method.input_type, handler.request_deserializer),
            response_serializer=_writing(self._version, method.output_type, handler.response_serializer),
        )
