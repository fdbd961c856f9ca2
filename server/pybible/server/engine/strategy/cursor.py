"""cursor: where one host is in the tree of a play's blocks, and where it goes when a task succeeds or fails.

Pure: a cursor knows nothing of other hosts, of time or of variables. Failure follows ansible-core (observed with
2.19): a failed task leads to its block's rescue, else through its always out to the enclosing block, and a host that
falls out of the outermost block has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto

from pybible.server.engine.model.play import Block, Node, Role, Task


class Part(Enum):
    """Which part of a block a host is in."""

    BLOCK = auto()
    RESCUE = auto()
    ALWAYS = auto()


class _Frame:
    """A list of nodes that a host is working through: a part of a block, or included nodes (no block)."""

    __slots__ = ("block", "failed", "index", "nodes", "part")

    def __init__(self, nodes: Sequence[Node], block: Block | None = None) -> None:
        self.nodes = nodes
        self.block = block
        self.part = Part.BLOCK
        self.index = 0
        self.failed = False

    def enter(self, part: Part) -> bool:
        """Go to the start of another part. False when the block has none."""
        if self.block is None:
            return False
        nodes = self.block.rescue if part is Part.RESCUE else self.block.always
        if not nodes:
            return False
        self.nodes, self.part, self.index = nodes, part, 0
        return True


class _Flush:
    """The handlers phase of one host: which handlers it walks through, and where it is."""

    __slots__ = ("handlers", "index", "inserted")

    def __init__(self, handlers: Sequence[Task]) -> None:
        self.handlers = handlers
        self.index = 0
        # Tasks that a handler included: they run without being notified.
        self.inserted: set[str] = set()


class Cursor:
    """One host's place. `failed` is true once the host fell out of the outermost block; `asked` holds the names that
    notify gave since the last flush, `notified` the ids of the handlers that wait for it.

    Between a task's end and the question for the next one the host still is in the block of the task that ended: a
    failure that comes from elsewhere (any_errors_fatal) then leads to that block's rescue.
    """

    __slots__ = ("_current", "_flush", "_frames", "_revivable", "_settled", "asked", "failed", "notified")

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._frames = [_Frame(nodes)]
        self._flush: _Flush | None = None
        self._revivable = False
        self.failed = False
        self.asked: dict[str, None] = {}
        self.notified: set[str] = set()
        self._current: Task | None = None
        self._settled = False

    @property
    def current(self) -> Task | None:
        """The task that is due, None when the host has nothing left in this play."""
        if not self._settled:
            self._settled = True
            if self._flush is not None:
                self._seek_handler(self._flush)
            else:
                self._settle()
        return self._current

    @property
    def in_handlers(self) -> bool:
        """Whether the task that is due is a handler (or was included by one)."""
        return self._flush is not None

    @property
    def rescuable(self) -> bool:
        """Whether a failure here is inside some block that has a rescue still to come."""
        return any(
            frame.part is Part.BLOCK and frame.block is not None and bool(frame.block.rescue) for frame in self._frames
        )

    def advance(self) -> None:
        """The task that was due has ended, and not with a failure that counts."""
        if self.current is None:
            return
        if self._flush is not None:
            self._flush.index += 1
        else:
            self._frames[-1].index += 1
        self._settled = False

    def fail(self) -> None:
        """The task that was due (or the host as a whole) failed: go to rescue, to always, or out."""
        if not self._frames or (self._settled and self._current is None):
            return
        # What handlers were notified of stays, for a flush that this host may still reach.
        self._flush = None
        self._settled = not self._fail_frame()

    def include(self, nodes: Sequence[Node]) -> None:
        """The task that was due included these nodes: they are next, and their failure is a failure at its place."""
        if self.current is None:
            return
        if self._flush is not None:
            self._include_handlers(self._flush, nodes)
            return
        self._frames[-1].index += 1
        self._frames.append(_Frame(nodes))
        self._settled = False

    def flush(self, handlers: Sequence[Task]) -> None:
        """The task that was due is a flush: run the notified ones of `handlers`, in their order, then go on."""
        if self.current is None or self._flush is not None:
            return
        if not self.notified:
            self.advance()
            return
        self._flush = _Flush(handlers)
        self._settled = False

    def end(self) -> None:
        """Nothing more in this play for this host; it has not failed by that."""
        self._flush = None
        self._frames.clear()
        self._current = None
        self._settled = True
        self._revivable = False

    def end_role(self, role: Role) -> None:
        """Go to the first task that does not belong to this use of `role`."""
        self.advance()
        while self.current is not None and self.current.role is role:
            self.advance()

    def clear_errors(self) -> None:
        """Forget that the host failed. It goes on where it is, or at the next block when it had left one by always."""
        self.failed = False
        for frame in self._frames:
            frame.failed = False
        if self._revivable:
            self._revivable = False
            self._settled = False

    # -- movement -------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Descend to the next task; leave what is finished on the way."""
        frames = self._frames
        while frames:
            frame = frames[-1]
            if frame.index < len(frame.nodes):
                node = frame.nodes[frame.index]
                if isinstance(node, Task):
                    self._current = node
                    return
                frame.index += 1
                frames.append(_Frame(node.block, node))
            elif not self._finish_part(frame):
                self._current = None
                return
        self._current = None

    def _finish_part(self, frame: _Frame) -> bool:
        """The last node of a part has ended. False when the host has nothing left."""
        if frame.part is Part.RESCUE:
            frame.failed = False
        if frame.part is not Part.ALWAYS and frame.enter(Part.ALWAYS):
            return True
        if len(self._frames) == 1:
            return False
        self._frames.pop()
        if frame.failed:
            return self._fail_frame(left_by_always=True)
        return True

    def _fail_frame(self, *, left_by_always: bool = False) -> bool:
        """A failure arrived at the innermost frame: move on from there. False when it led out of the play."""
        while True:
            frame = self._frames[-1]
            if frame.part is Part.BLOCK and frame.enter(Part.RESCUE):
                frame.failed = False
                return True
            frame.failed = True
            if frame.part is not Part.ALWAYS and frame.enter(Part.ALWAYS):
                return True
            if len(self._frames) == 1:
                break
            left_by_always = frame.part is Part.ALWAYS
            self._frames.pop()
        self.failed = True
        self._flush = None
        self._current = None
        self._revivable = left_by_always
        if not left_by_always:
            self._frames.clear()
        return False

    # -- handlers -------------------------------------------------------------------------------------------------

    def _seek_handler(self, flush: _Flush) -> None:
        handlers = flush.handlers
        while flush.index < len(handlers):
            handler = handlers[flush.index]
            if handler.id in self.notified or handler.id in flush.inserted:
                # Taken off now: a handler that notifies itself waits for the next flush.
                self.notified.discard(handler.id)
                self._current = handler
                return
            flush.index += 1
        self._flush = None
        self._frames[-1].index += 1
        self._settle()

    def _include_handlers(self, flush: _Flush, nodes: Sequence[Node]) -> None:
        tasks = list(tasks_of(nodes))
        at = flush.index + 1
        flush.handlers = [*flush.handlers[:at], *tasks, *flush.handlers[at:]]
        flush.inserted.update(task.id for task in tasks)
        flush.index += 1
        self._settled = False


def tasks_of(nodes: Iterable[Node]) -> Iterable[Task]:
    """Give every task below `nodes` in the order of the file: block, rescue, always."""
    for node in nodes:
        if isinstance(node, Task):
            yield node
        else:
            yield from tasks_of(node.block)
            yield from tasks_of(node.rescue)
            yield from tasks_of(node.always)
