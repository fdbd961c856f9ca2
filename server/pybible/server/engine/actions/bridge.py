"""bridge: a task whose module is not native: it is sent to the host and runs there as it is."""

from __future__ import annotations

from typing import Final

from pybible.server.engine.actions.call import ActionCall, ActionResult, from_outcome
from pybible.server.engine.templating.errors import report_of
from pybible.wire.errors import TemplateError
from pybible.wire.values import JsonObject

# What ansible-core's settings are when nobody sets them.
_TOLD: Final[JsonObject] = {
    "_ansible_debug": False,
    "_ansible_syslog_facility": "LOG_USER",
    "_ansible_selinux_special_fs": ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"],
    "_ansible_socket": None,
    "_ansible_shell_executable": "/bin/sh",
    "_ansible_keep_remote_files": False,
    "_ansible_remote_tmp": "~/.ansible/tmp",
    "_ansible_ignore_unknown_opts": False,
    "_ansible_target_log_info": None,
    "_ansible_tracebacks_for": [],
}
_CRASHED: Final = "Task failed: "


async def run(call: ActionCall) -> ActionResult:
    """Send the module, unless the host has it, and its arguments."""
    module = call.task.bridged
    if module is None:
        raise RuntimeError(f"{call.name} is not a module for the bridge")
    packed = await call.services.package(module)
    arguments = {
        **{name: value for name, value in call.args.items() if not name.startswith("_ansible_")},
        **_TOLD,
        "_ansible_version": packed.version,
        "_ansible_module_name": str(call.task.action_written),
    }
    outcome = await call.services.run_module(
        "bridge",
        {
            "package": packed.attachment.sha256,
            "style": packed.style,
            "entry": packed.entry,
            "name": module.name,
            "interpreter": list(packed.interpreter),
            "chosen": _interpreter(call, packed.interpreter),
            "arguments": arguments,
        },
        (packed.attachment,),
    )
    no_result = bool(outcome.result.get("_ansible_no_result"))
    answer = from_outcome(outcome)
    text = str(answer.result.get("msg", ""))
    if no_result:
        answer.reported, answer.error = True, _report(call, text)
    elif answer.module_failed and text.startswith(_CRASHED):
        answer.error = text.removeprefix(_CRASHED)
    return answer


def _interpreter(call: ActionCall, words: tuple[str, ...]) -> str:
    """Return what the inventory says is to run it: `ansible_python_interpreter` and the like; empty: nothing."""
    if not words:
        return ""
    program = words[0].rpartition("/")[2]
    kind = "python" if program.startswith("python") else program
    templar = call.services.reaching()
    chosen = templar.variables.get(f"ansible_{kind}_interpreter")
    return templar.render_text(chosen) if chosen is not None else ""


def _report(call: ActionCall, text: str) -> str:
    around = report_of(TemplateError("Task failed: Action failed.", origin=call.task.origin))
    shown = f"{text} See stdout/stderr for the returned output."
    return f"Task failed: Action failed: {text}\n\n{around}\n\n<<< caused by >>>\n\n{shown}"
