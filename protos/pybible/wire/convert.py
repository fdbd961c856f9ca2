"""convert: tasks to protobuf messages and back. Apart from tasks, so that a worker needs no protobuf."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from pybible.v1 import agent_pb2
from pybible.wire.tasks import Attachment, Become, Signature, TaskSpec

# What is longer, or further back, is nobody's: a hundred years, in seconds.
_LONGEST = 100 * 366 * 86400.0


def seconds_of(duration: Duration) -> float:
    """Return it in seconds, at most a hundred years either way: whatever the other end sent can be reckoned with."""
    return min(max(-_LONGEST, duration.seconds + duration.nanos / 1e9), _LONGEST)


def spec_to_pb(spec: TaskSpec) -> agent_pb2.TaskSpec:
    """Convert for the wire. An attachment's local path stays here."""
    message = agent_pb2.TaskSpec(
        module=spec.module,
        args=spec.args,
        check=spec.check,
        diff=spec.diff,
        no_log=spec.no_log,
        output_limit=spec.output_limit,
        terminate=spec.terminate,
        verbosity=spec.verbosity,
    )
    if spec.environment:
        message.environment.update(spec.environment)
    if spec.become is not None:
        become = spec.become
        message.become.user = become.user
        message.become.method = become.method
        message.become.flags = become.flags
        message.become.executable = become.executable
    if spec.timeout is not None:
        message.timeout.FromTimedelta(timedelta(seconds=spec.timeout))
    for item in spec.attachments:
        message.attachments.add(
            sha256=item.sha256, size=item.size, inline=item.inline or b"", brief=item.brief or spec.no_log
        )
    return message


def spec_from_pb(message: agent_pb2.TaskSpec) -> TaskSpec:
    """Convert from the wire."""
    become = None
    if message.HasField("become"):
        become = Become(
            user=message.become.user,
            method=message.become.method,
            flags=message.become.flags,
            executable=message.become.executable,
        )
    return TaskSpec(
        module=message.module,
        args=message.args,
        environment=dict(message.environment),
        become=become,
        timeout=max(0.0, seconds_of(message.timeout)) or None if message.HasField("timeout") else None,
        check=message.check,
        diff=message.diff,
        no_log=message.no_log,
        output_limit=message.output_limit,
        attachments=tuple(
            Attachment(
                sha256=item.sha256,
                size=item.size,
                inline=item.inline if item.inline or not item.size else None,
                brief=item.brief,
            )
            for item in message.attachments
        ),
        terminate=message.terminate,
        verbosity=message.verbosity,
    )


def signature_to_pb(signature: Signature) -> agent_pb2.Signature:
    """Convert for the wire."""
    return agent_pb2.Signature(
        key=signature.key, agent=signature.agent, expires=signature.expires, value=signature.value
    )


def signature_from_pb(message: agent_pb2.Signature) -> Signature:
    """Convert from the wire."""
    return Signature(key=message.key, agent=message.agent, expires=message.expires, value=message.value)
