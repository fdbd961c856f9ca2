"""registry: the runs of one controller: those that are open in memory, the others in the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from pybible.server.controller.dispatch.router import Router
from pybible.server.controller.dispatch.turns import Turns
from pybible.server.controller.rights import Rights
from pybible.server.controller.runs.events import EventLog, SeenBatch, Watcher
from pybible.server.controller.runs.history import History, StoreUnwritable
from pybible.server.controller.runs.ids import new_run_id
from pybible.server.controller.runs.recent import KEPT, ListedRun, RecentRuns
from pybible.server.controller.runs.recovering import LOST, Past, ending, read_past
from pybible.server.controller.runs.run import NAME_LENGTH, Run, RunSettings, RunTerms
from pybible.server.controller.store import runs as store
from pybible.server.controller.store.database import Database
from pybible.server.controller.store.runs import AttemptRecord, RunRecord, RunState, StoredBatch
from pybible.server.results.audit import NOBODY, Actor
from pybible.server.results.recap import HostRecap
from pybible.v1 import run_pb2
from pybible.wire.errors import AccessDenied, PybibleError
from pybible.wire.logs import fields

# So long after a run contents that may hold secrets are still there, in seconds.
_BRIEF_SECONDS = 2.0
log = logging.getLogger(__name__)

# Names the newest run, wherever an id is wanted.
LATEST = "latest"

_BATCHES_AT_ONCE = 100
# So many runs are named when what was given means more than one.
_CANDIDATES = 5


class NoSuchRun(PybibleError):
    """No run, or more than one, has that id."""


class RunOver(PybibleError):
    """The run can't be gone on with. `view` is how it ended, None for one that did not."""

    def __init__(self, message: str, view: RunView | None = None) -> None:
        super().__init__(message)
        self.view = view


class TooManyWatchers(PybibleError):
    """The run has as many watchers as it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What a ctl asks for. `disconnect_grace` in seconds, None for the controller's own."""

    name: str
    operator: str = ""
    forks: int = 0
    check: bool = False
    disconnect_grace: float | None = None
    lost_is_unreachable: bool = False
    live_output: bool = True
    # What the operator may have run; None: anything.
    rights: Rights | None = None
    actor: Actor = NOBODY


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its recap."""

    record: RunRecord
    recap: Mapping[str, HostRecap]


class RunRegistry:
    """Opens runs, finds them, ends them with the controller."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        router: Router,
        settings: RunSettings,
        discard: Callable[[str, float], None] = lambda _sha256, _unused_since: None,
    ) -> None:
        self.settings = settings
        # Removes a content that was not asked for since a moment.
        self._discard = discard
        self.router = router
        self._database = database
        self._history = history
        history.drained, history.overflowed = self._go_on, self._stop
        self._open: dict[str, Run] = {}
        self._turns = Turns()
        self._recent = RecentRuns()
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._closing = False
        self._since = time.time()
        # Runs of an earlier controller whose ctl may come back, by id.
        self._awaited: dict[str, RunRecord] = {}

    # --- the controller's life

    async def recover(self) -> None:
        """Look after what an earlier controller left `running`. Before anything is served.

        Its ctls have the recovery window to come back; without one the runs end at once, and so do those that had been
        cancelled.
        """
        window = self.settings.recovery_window
        left = await self._database.read(store.running)
        for record in left:
            if record.error:
                end = ending([record.run_id], state=RunState.CANCELLED, error=record.error)
                _say_ended(await self._database.write(end))
        left = [record for record in left if not record.error]
        if window > 0:
            self._awaited = {record.run_id: record for record in left}
        elif left:
            _say_ended(await self._database.write(ending()))
        if self._awaited:
            log.warning("runs wait for their ctl", extra=fields(runs=len(self._awaited), seconds=window))
            self.router.recovery.until = time.monotonic() + window
            for run_id in self._awaited:
                self.router.recovery.begin(run_id)
            asyncio.get_running_loop().call_later(window, self._give_up_all, LOST)
        newest = await self._database.read(lambda connection: store.newest(connection, limit=KEPT + 1))
        self._recent = RecentRuns(newest[:KEPT], complete=len(newest) <= KEPT)

    async def shutdown(self, *, seconds: float) -> None:
        """Tell every run that it ends, and wait so long for them to do so."""
        self._closing = True
        self._give_up_all("controller shuts down")
        for run in list(self._open.values()):
            run.cancel("controller shuts down", state=RunState.INTERRUPTED)
        try:
            async with asyncio.timeout(seconds):
                await self._none_open.wait()
        except TimeoutError:
            log.warning("runs did not end in time", extra=fields(runs=len(self._open)))

    def abandon(self) -> None:
        """End every run that is still open: none is left `running` in the store."""
        self._give_up_all(LOST)
        for run in list(self._open.values()):
            run.abandon()

    @property
    def opened(self) -> Collection[Run]:
        """The runs that go on."""
        return self._open.values()

    # --- one run

    def open(self, request: StartRequest) -> Run:
        """Begin a run. PybibleError when the controller takes none."""
        if self._closing:
            raise PybibleError("the controller shuts down")
        if self._history.trouble:
            raise StoreUnwritable(self._history.trouble)
        settings = self.settings
        record = RunRecord(
            run_id=new_run_id(),
            name=request.name[:4096],
            operator=request.operator[:NAME_LENGTH],
            forks=max(1, min(request.forks or settings.forks, settings.max_forks)),
            check_mode=request.check,
            state=RunState.RUNNING,
            started=time.time(),
        )
        run = self._begin(record, request)
        log.info("run started", extra=fields(run_id=run.run_id, forks=record.forks, operator=record.operator))
        return run

    async def rejoin(self, run_id: str, request: StartRequest) -> Run:
        """Go on with a run that an earlier controller left open: its ctl is back, and says again how it is to be led.

        NoSuchRun, RunOver; AccessDenied when it is another operator's; PybibleError when the controller takes none.
        """
        if self._closing:
            raise PybibleError("the controller shuts down")
        record = self._awaited.get(run_id)
        if record is None:
            raise await self._over(run_id, request.operator)
        if record.operator != request.operator:
            raise AccessDenied(f"run {run_id} is not yours")
        # Neither its window's end nor another ctl has it from here on.
        del self._awaited[run_id]
        until = self.router.recovery.until
        try:
            past = await self._database.read(
                lambda connection: read_past(connection, run_id, expected_until=until, since=self._since)
            )
        except BaseException:
            self._awaited[run_id] = record
            if time.monotonic() >= until:
                self._give_up([run_id])
            raise
        run = self._begin(record, request, past=past)
        log.warning("run goes on: its ctl is back", extra=fields(run_id=run_id, operator=record.operator))
        return run

    def _begin(self, record: RunRecord, request: StartRequest, *, past: Past | None = None) -> Run:
        grace = self.settings.disconnect_grace if request.disconnect_grace is None else request.disconnect_grace
        terms = RunTerms(
            disconnect_grace=max(0.0, grace),
            lost_is_unreachable=request.lost_is_unreachable,
            live_output=request.live_output,
            rights=request.rights,
            actor=request.actor,
        )
        run = Run(
            record,
            terms,
            settings=self.settings,
            router=self.router,
            history=self._history,
            ended=self._ended,
            turns=self._turns,
            past=past,
        )
        self._open[run.run_id] = run
        if past is None:
            self._recent.put(record, 0)
        self._none_open.clear()
        return run

    async def _over(self, run_id: str, operator: str) -> PybibleError:
        """Return why a run can't be rejoined."""
        if run_id in self._open:
            return RunOver(f"run {run_id} is open: it was not left by a controller that ended")
        try:
            view, _attempts = await self.find(run_id)
        except NoSuchRun as error:
            return error
        if view.record.operator != operator:
            return AccessDenied(f"run {run_id} is not yours")
        how = f"{view.record.state}: {view.record.error}" if view.record.error else str(view.record.state)
        return RunOver(f"run {view.record.run_id} is over ({how})", view)

    async def cancel(self, name: str, *, operator: str) -> tuple[RunView, bool]:
        """Cancel a run. Return it, and whether it was open: one that is over stays as it is."""
        run_id = await self.resolve(name)
        run = self._open.get(run_id)
        reason = f"cancelled by {operator[:NAME_LENGTH]}"
        if run is not None:
            run.cancel(reason)
            await self._fresh()
        was_open = run is not None or run_id in self._awaited
        if run_id in self._awaited:
            await self._give_up([run_id], state=RunState.CANCELLED, error=reason)
        return (await self.find(run_id))[0], was_open

    def interrupt(self, identity: str, reason: str, *, serial: str = "") -> None:
        """End the open runs of an operator who is shut out; with `serial`, those of that certificate of his alone."""
        for run in list(self._open.values()):
            actor = run.terms.actor
            if actor.identity == identity and serial in {"", actor.serial}:
                run.cancel(reason, state=RunState.INTERRUPTED)

    def _go_on(self) -> None:
        for run in list(self._open.values()):
            run.resume()

    def _stop(self, why: str) -> None:
        """End every run: its history has no more room, neither in the store nor in memory."""
        for run in list(self._open.values()):
            run.cancel(why, state=RunState.INTERRUPTED)

    async def _fresh(self) -> None:
        """Wait until the store has what is known; while it takes no writes, what it has must do."""
        with suppress(StoreUnwritable):
            await self._history.flush()

    def forget(self, run_id: str) -> None:
        """A run that was over is about to be removed from the store."""
        self._recent.forget(run_id)

    async def flush(self) -> None:
        """Wait until all that is known so far is in the store. StoreUnwritable when that may be never."""
        await self._history.flush()

    def present(self, agents: Iterable[str]) -> list[str]:
        """Return those agents that have a live session."""
        return [name for name in agents if self.router.is_present(name)]

    # --- asking

    async def newest(self, *, limit: int, before: str = "") -> list[ListedRun]:
        """Return runs, the newest first, each with the number of its hosts: from memory, but for very old ones."""
        found = self._recent.newest(limit, before=before)
        if found is None:
            read = await self._database.read(lambda connection: store.newest(connection, limit=limit, before=before))
            found = [ListedRun(record) for record in read]
        unknown = [run.record.run_id for run in found if run.hosts is None]
        counted: dict[str, int] = {}
        if unknown:
            counted = await self._database.read(lambda connection: store.hosts_of(connection, unknown))
            self._recent.count(counted)
        return [self._listed(run, counted) for run in found]

    def _listed(self, run: ListedRun, counted: Mapping[str, int]) -> ListedRun:
        opened = self._open.get(run.record.run_id)
        if opened is not None:
            return ListedRun(opened.record, len(opened.events.recap.hosts))
        return ListedRun(run.record, counted.get(run.record.run_id, 0) if run.hosts is None else run.hosts)

    async def resolve(self, name: str) -> str:
        """Return the id of a run by its id, a beginning or an end of it, or `latest`. NoSuchRun if it is not one's."""
        return (await self._record(name)).run_id

    async def find(self, name: str) -> tuple[RunView, list[AttemptRecord]]:
        """Return a run with its attempts. NoSuchRun as in `resolve`."""
        record = await self._record(name)

        def read(connection: Connection) -> tuple[RunView, list[AttemptRecord]]:
            recap = store.recaps_of(connection, [record.run_id]).get(record.run_id, {})
            return RunView(record, recap), store.attempts_of(connection, record.run_id)

        if record.run_id not in self._open and self._history.has_not_written(record.run_id):
            # What the store has of it is not how it ended.
            raise StoreUnwritable(self._history.trouble)
        view, attempts = await self._database.read(read)
        return self._current(view), attempts

    @asynccontextmanager
    async def watch(self, run_id: str, *, from_seq: int = 0) -> AsyncIterator[AsyncIterator[SeenBatch]]:
        """Follow the events of a run, from a number on, until it ends. TooSlow is raised by the iterator."""
        run = self._open.get(run_id)
        log_of_run: EventLog | None = run.events if run is not None else None
        watcher = log_of_run.watch() if log_of_run is not None else None
        if log_of_run is not None and watcher is None:
            raise TooManyWatchers("this run has too many watchers")
        try:
            # What came before the watcher was there is in the store by now.
            await self._history.flush()
            yield self._follow(run_id, watcher, from_seq)
        finally:
            if log_of_run is not None and watcher is not None:
                log_of_run.unwatch(watcher)

    async def _follow(self, run_id: str, watcher: Watcher | None, from_seq: int) -> AsyncIterator[SeenBatch]:
        wanted = max(1, from_seq)
        while batches := await self._database.read(_reader(run_id, wanted)):
            for batch in batches:
                events = run_pb2.EventBatch.FromString(batch.batch).events
                yield SeenBatch(wanted, batch.time, events[wanted - batch.first_seq :])
                wanted = batch.first_seq + batch.count
        while watcher is not None and (seen := await watcher.next()) is not None:
            if not seen.first_seq:
                yield seen
                continue
            end = seen.first_seq + len(seen.events)
            if end > wanted:
                first = max(wanted, seen.first_seq)
                yield SeenBatch(first, seen.time, seen.events[first - seen.first_seq :])
                wanted = end

    async def _record(self, name: str) -> RunRecord:
        if not name:
            raise NoSuchRun("give the id of a run")
        await self._fresh()
        if name == LATEST:
            found = await self._database.read(lambda connection: store.newest(connection, limit=1))
        else:
            found = await self._database.read(
                lambda connection: store.matching(connection, name, limit=_CANDIDATES + 1)
            )
        if not found:
            raise NoSuchRun("there is no run yet" if name == LATEST else f"there is no run {name!r}")
        if len(found) > 1:
            named = ", ".join(f"{record.run_id} ({record.name[:40]})" for record in found[:_CANDIDATES])
            more = ", ..." if len(found) > _CANDIDATES else ""
            raise NoSuchRun(f"more than one run begins or ends with {name!r}: {named}{more}")
        return found[0]

    def _current(self, view: RunView) -> RunView:
        run = self._open.get(view.record.run_id)
        return RunView(run.record, run.events.recap.hosts) if run is not None else view

    def _give_up_all(self, error: str) -> None:
        if self._awaited:
            self._give_up(list(self._awaited), error=error)

    def _give_up(
        self, run_ids: list[str], *, state: RunState = RunState.INTERRUPTED, error: str = LOST
    ) -> asyncio.Future[list[RunRecord]]:
        """End runs whose ctl did not come back. What agents still do for them is stopped."""
        for run_id in run_ids:
            del self._awaited[run_id]
        written = self._database.write(ending(run_ids, state=state, error=error))
        written.add_done_callback(self._given_up)
        for run_id in run_ids:
            self.router.give_up(run_id)
        return written

    def _given_up(self, written: asyncio.Future[list[RunRecord]]) -> None:
        if written.cancelled():
            return
        if error := written.exception():
            # The next controller finds them as this one did.
            log.error("runs could not be ended", extra=fields(error=str(error)))
            return
        _say_ended(written.result())
        for record in written.result():
            self._recent.change(record)

    def _ended(self, run: Run) -> None:
        if run.past is not None:
            self.router.give_up(run.run_id)
        self._open.pop(run.run_id, None)
        self._history.counts.runs[run.record.state] += 1
        self._recent.put(run.record, len(run.events.recap.hosts))
        if run.brief:
            # A run that has just begun may have found them here, and not sent its tasks yet.
            asyncio.get_running_loop().call_later(_BRIEF_SECONDS, self._forget, run.brief, time.time())
        if not self._open:
            self._none_open.set()

    def _forget(self, contents: set[str], unused_since: float) -> None:
        """Remove contents that were not to be kept, but for those of runs that are open."""
        if self._awaited:
            # What their tasks need is not known here.
            asyncio.get_running_loop().call_later(_BRIEF_SECONDS, self._forget, contents, unused_since)
            return
        used = {sha256 for run in self._open.values() for sha256 in run.brief}
        for sha256 in contents - used:
            self._discard(sha256, unused_since)


def _reader(run_id: str, from_seq: int) -> Callable[[Connection], list[StoredBatch]]:
    return lambda connection: store.batches_of(connection, run_id, from_seq=from_seq, limit=_BATCHES_AT_ONCE)


def _say_ended(ended: Iterable[RunRecord]) -> None:
    for record in ended:
        log.warning("run was interrupted by the end of the controller", extra=fields(run_id=record.run_id))
