"""selinux: sets SELinux's mode and policy, now and for the next boot."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules import selinux_context
from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import locate, must
from pybible.agent.modules.rewrite import lines_of, read_text, write_text
from pybible.wire.values import JsonObject

_FOLDER = Path("/etc/selinux")
_CONFIG = "/etc/selinux/config"
_OFF = "selinux=0"
_KERNEL_ARGUMENTS = re.compile(r'^args="(.*)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of selinux."""

    state: Literal["enforcing", "permissive", "disabled"] = arg(doc="the mode")
    policy: str | None = arg(default=None, doc="name of the policy; needed unless the mode is disabled")
    configfile: str = arg(default=_CONFIG, aliases=("conf", "file"), doc="the configuration")
    update_kernel_param: bool = arg(default=False, doc="switch it on or off among the kernel's parameters, with grubby")


def setting(text: str, name: str) -> str | None:
    """Return the value of a setting of the configuration."""
    found = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def put(text: str, name: str, value: str) -> str:
    """Return the configuration with a setting. Text in, text out."""
    lines = lines_of(text)
    found = [f"{name}={value}" if line.startswith(f"{name}=") else line for line in lines]
    if found == lines and setting(text, name) is None:
        found.append(f"{name}={value}")
    return "".join(f"{line}\n" for line in found)


def plan(args: Args, context: Context) -> Plan:
    """Compare the kernel, the configuration and the kernel's parameters with what is asked."""
    if not Path(args.configfile).is_file():
        details = "Please install SELinux-policy package, if this package is not installed previously."
        raise ModuleError(f"Unable to find file {args.configfile}", details=details)
    text = read_text(args.configfile)
    policy = args.policy
    if args.state != "disabled" and not policy:
        raise ModuleError("Policy is required if state is not 'disabled'")
    policy = policy or setting(text, "SELINUXTYPE")
    said: list[str] = []
    steps: list[Callable[[], object]] = []
    after = _policy(args, text, policy, said)
    reboot = _mode(args, said, steps)
    configured = setting(text, "SELINUX")
    if configured != args.state:
        said.append(f"Config SELinux state changed from '{configured}' to '{args.state}'")
        after = put(after, "SELINUX", args.state)
    _kernel(args, context, said, steps)
    if after != text:
        steps.append(partial(write_text, args.configfile, after))
    values: JsonObject = {"configfile": args.configfile, "policy": policy, "state": args.state}
    values |= {"msg": ", ".join(said), "reboot_required": reboot}
    if not said:
        return Unchanged(values=values, described=False)
    return Change(values=values, apply=partial(_apply, steps))


def _policy(args: Args, text: str, policy: str | None, said: list[str]) -> str:
    running = setting(read_text(_CONFIG), "SELINUXTYPE") if selinux_context.is_enabled() else policy
    configured = setting(text, "SELINUXTYPE")
    if policy is None or policy == running == configured:
        return text
    if args.policy and not (_FOLDER / policy / "policy").is_dir():
        raise ModuleError(f"Policy {policy} does not exist in /etc/selinux/")
    if policy != running:
        said.append(f"Running SELinux policy changed from '{running}' to '{policy}'")
    if policy == configured:
        return text
    said.append(f"SELinux policy configuration in '{args.configfile}' changed from '{configured}' to '{policy}'")
    return put(text, "SELINUXTYPE", policy)


def _mode(args: Args, said: list[str], steps: list[Callable[[], object]]) -> bool:
    """Add what changes the running kernel; return whether only the next boot will bring what is asked."""
    if not selinux_context.is_enabled():
        return args.state != "disabled"
    enforcing = selinux_context.is_enforcing()
    if args.state == "disabled":
        if enforcing:
            # It can't be switched off while it runs: until the boot it refuses nothing.
            steps.append(partial(selinux_context.enforce, False))
        return True
    if enforcing is not (args.state == "enforcing"):
        current = "enforcing" if enforcing else "permissive"
        said.append(f"SELinux state changed from '{current}' to '{args.state}'")
        steps.append(partial(selinux_context.enforce, args.state == "enforcing"))
    return False


def _kernel(args: Args, context: Context, said: list[str], steps: list[Callable[[], object]]) -> None:
    """Add what changes the kernel's parameters."""
    if not args.update_kernel_param:
        return
    program = locate("grubby", context)
    if program is None:
        details = "The kernel's parameters are changed with grubby, which has to be on the host."
        raise ModuleError("'grubby' command not found on host", details=details)
    current = kernel_state(must([program, "--info=ALL"], context).stdout)
    wanted = "disabled" if args.state == "disabled" else "enabled"
    if current == wanted:
        return
    said.append(f"Kernel SELinux state changed from '{current}' to '{wanted}'")
    change = ["--args", _OFF] if wanted == "disabled" else ["--remove-args", _OFF]
    steps.append(partial(must, [program, "--update-kernel=ALL", *change], context))


def kernel_state(listing: str) -> str:
    """Tell from what grubby says of the kernels whether they have SELinux: all, none, or some."""
    off = [_OFF in found.split() for found in _KERNEL_ARGUMENTS.findall(listing)]
    if not any(off):
        return "enabled"
    return "disabled" if all(off) else "<inconsistent>"


def _apply(steps: list[Callable[[], object]]) -> None:
    for step in steps:
        step()


MODULE = Module(name="ansible.posix.selinux", args=Args, plan=plan)
