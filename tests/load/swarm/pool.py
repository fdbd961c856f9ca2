"""pool: stands in for an agent's workers, and does as the script says (Pool)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pybible.agent.swarm.pool import OK, AnsweringPool
from pybible.agent.workers import Finished, Sink
from tests.load.swarm.script import Act, Deed

_FAILED = Finished(content=b'{"changed":false,"failed":true,"msg":"the script says so"}')
_AWAY = frozenset({Deed.DISCONNECT, Deed.RESTART, Deed.LATE, Deed.CLONE})


class ScriptedPool(AnsweringPool):
    """`choose` gives the act for an attempt that begins, `ended` hears of its end before anybody else does.

    `away` carries out what the pool can't do itself.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        slots: int,
        may_start: Callable[[], bool],
        choose: Callable[[str], Act],
        ended: Callable[[str], None],
        away: Callable[[str, Act], None],
    ) -> None:
        super().__init__(sink, slots=slots, may_start=may_start)
        self._choose = choose
        self._ended = ended
        self._away = away

    def begin(self, attempt_id: str) -> asyncio.Handle | None:
        """Let happen what the script says."""
        act = self._choose(attempt_id)
        loop = asyncio.get_running_loop()
        answer = _FAILED if act.deed is Deed.FAIL else OK
        if act.early and act.deed in _AWAY:
            self._away(attempt_id, act)
        if act.deed is Deed.LAG or (act.deed is Deed.LATE and act.early):
            return loop.call_later(act.seconds, self.finish, attempt_id, answer)
        if act.deed is not Deed.NEVER and not (act.deed is Deed.RESTART and act.early):
            return loop.call_soon(self._answer, attempt_id, answer, act)
        return None

    def finish(self, attempt_id: str, answer: Finished) -> None:
        """End an attempt with that answer."""
        self._ended(attempt_id)
        super().finish(attempt_id, answer)

    def _answer(self, attempt_id: str, answer: Finished, act: Act) -> None:
        self.finish(attempt_id, answer)
        if act.deed is Deed.TWICE or (not act.early and act.deed in _AWAY):
            self._away(attempt_id, act)
