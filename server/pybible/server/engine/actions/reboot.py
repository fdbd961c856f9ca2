"""reboot: has the host start anew and waits until its agent is back, in another boot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from pybible.server.engine.actions.arguments import as_int, as_list, as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.server.engine.dispatcher import Outcome
from pybible.wire.values import JsonObject

_HERE = "Running {action} with local connection would reboot the control node."
_SEARCHED = ("/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin")
_BOOT_TIME = "cat /proc/sys/kernel/random/boot_id"
_LONGEST_PAUSE = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the task asks for; times in seconds."""

    command: str
    before: int
    after: int
    timeout: int
    message: str
    test: str
    boot_time: str
    searched: tuple[str, ...]


async def run(call: ActionCall) -> ActionResult:
    """Reboot and wait."""
    if call.runs_here:
        text = _HERE.format(action=call.task.action_written)
        raise ActionFailed(text, returned=True, elapsed=0, rebooted=False)
    if call.check:
        return ActionResult(result={"changed": True, "elapsed": 0, "rebooted": True})
    wanted = _wanted(call)
    began = await _shell(call, wanted.boot_time)
    if began.unreachable or began.reason:
        return from_outcome(began)
    if began.result.get("rc"):
        raise ActionFailed(f"could not tell when the host was booted: {_said(began)}", returned=True, rebooted=False)
    command = await _command(call, wanted)
    started = time.monotonic()
    done = await _shell(call, command)
    status = done.result.get("rc")
    # A host that goes down may take its agent with it before that can answer; a signal is no refusal either.
    if not (done.unreachable or done.reason) and isinstance(status, int) and status > 0:
        text = f"Reboot command failed. Error was: '{_said(done)}'"
        raise ActionFailed(text, returned=True, rebooted=False, elapsed=0)
    if wanted.after:
        await call.sleep(wanted.after)
    old = began.result.get("stdout")
    failure = await _until(call, wanted, wanted.boot_time, "last boot time check", lambda now: now != old)
    failure = failure or await _until(call, wanted, wanted.test, "post-reboot test command", lambda _: True)
    result: JsonObject = {"changed": True, "rebooted": True, "elapsed": int(time.monotonic() - started)}
    if failure:
        result |= {"failed": True, "msg": failure}
    return ActionResult(result=result)


def _wanted(call: ActionCall) -> Wanted:
    args = call.args
    paths = args.get("search_paths", list(_SEARCHED))
    if not isinstance(paths, list | str):
        raise ActionFailed(f"'search_paths' must be a string or flat list of strings, got {paths}", returned=True)
    return Wanted(
        command=as_text(args.get("reboot_command", "")),
        before=max(
            0, as_int(args.get("pre_reboot_delay", args.get("pre_reboot_delay_sec", 0)), name="pre_reboot_delay")
        ),
        after=max(
            0, as_int(args.get("post_reboot_delay", args.get("post_reboot_delay_sec", 0)), name="post_reboot_delay")
        ),
        timeout=as_int(args.get("reboot_timeout", args.get("reboot_timeout_sec", 600)), name="reboot_timeout"),
        message=as_text(args.get("msg", "Reboot initiated by Ansible")),
        test=as_text(args.get("test_command", "whoami")),
        boot_time=as_text(args.get("boot_time_command", _BOOT_TIME)),
        searched=tuple(as_text(path) for path in as_list(paths)),
    )


async def _shell(call: ActionCall, command: str) -> Outcome:
    return await call.services.run_module("shell", {"_raw_params": command, "_uses_shell": True}, now=True)


def _said(outcome: Outcome) -> str:
    result = outcome.result
    return f"{result.get('stdout', '')}, {result.get('stderr', '') or result.get('msg', '')}"


async def _command(call: ActionCall, wanted: Wanted) -> str:
    """Return the command line that reboots this host."""
    program, _, rest = wanted.command.partition(" ")
    if program.startswith("/"):
        return wanted.command
    for name in (program,) if program else ("shutdown", "reboot"):
        found = await _search(call, name, wanted.searched)
        if found and program:
            return f"{found} {rest}".strip()
        if found and name == "shutdown":
            message = wanted.message.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
            return f'{found} -r {wanted.before // 60} "{message}"'
        if found:
            return found
    text = f'Unable to find command "{program or "shutdown"}" in search paths: {list(wanted.searched)}'
    raise ActionFailed(text, returned=True, rebooted=False)


async def _search(call: ActionCall, name: str, paths: tuple[str, ...]) -> str:
    arguments: JsonObject = {"paths": list(paths), "patterns": [name], "file_type": "any"}
    outcome = await call.services.run_module("find", arguments, now=True)
    files = outcome.result.get("files")
    return str(files[0]["path"]) if isinstance(files, list) and files else ""


async def _until(call: ActionCall, wanted: Wanted, command: str, what: str, holds: Callable[[object], bool]) -> str:
    """Run `command` until it succeeds and its output holds. Return what to say when time is over, empty before."""
    pause = 1.0
    try:
        async with asyncio.timeout(wanted.timeout):
            while True:
                outcome = await _shell(call, command)
                answered = not (outcome.unreachable or outcome.reason)
                if answered and outcome.result.get("rc") == 0 and holds(outcome.result.get("stdout")):
                    return ""
                await call.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
    except TimeoutError:
        return f"Timed out waiting for {what} (timeout={wanted.timeout})"
