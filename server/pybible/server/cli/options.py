"""options: what `run` and `exec` have in common on the command line: the options of ansible-playbook, and our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from pybible.server.engine.model.connections import Place, is_ssh, place_of, unknown_connection
from pybible.wire.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., object])

# Agents dial out: nobody logs in to them. Taken so that command lines need no change, and said so, once.
_SSH_ONLY_VALUES = (
    ("--private-key", "--key-file"),
    ("-u", "--user"),
    ("-T", "--timeout"),
    ("--ssh-common-args",),
    ("--sftp-extra-args",),
    ("--scp-extra-args",),
    ("--ssh-extra-args",),
    ("--connection-password-file", "--conn-pass-file"),
    ("--become-password-file", "--become-pass-file"),
)
_SSH_ONLY_FLAGS = (("-k", "--ask-pass"), ("-K", "--ask-become-pass"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the operator asked for. Empty means: not given."""

    inventory: tuple[str, ...] = ()
    limit: str | None = None
    extra_vars: tuple[str, ...] = ()
    forks: int | None = None
    check: bool = False
    diff: bool = False
    become: bool = False
    become_user: str = ""
    become_method: str = ""
    connection: str = ""
    verbose: int = 0
    module_path: tuple[str, ...] = ()
    vault_ids: tuple[str, ...] = ()
    vault_files: tuple[str, ...] = ()
    ask_vault: bool = False
    controller: str = ""
    as_json: bool = False
    disconnect_grace: float | None = None
    lost_is_unreachable: bool = False
    # SSH-only options that were given.
    ignored: tuple[str, ...] = ()


_OPTIONS = (
    click.option(
        *("-i", "--inventory", "--inventory-file", "inventory"),
        multiple=True,
        help="Inventory file, folder, script, or list of hosts with commas. Without any, the agents are the inventory.",
    ),
    click.option("-l", "--limit", "limit", default=None, help="Only hosts that match this pattern too."),
    click.option("-e", "--extra-vars", "extra_vars", multiple=True, help="key=value, YAML, JSON, or @FILE."),
    click.option("-f", "--forks", "forks", type=int, default=None, help="How many hosts at once. [5]"),
    click.option("-C", "--check", "check", is_flag=True, help="Change nothing; say what would be changed."),
    click.option("-D", "--diff", "diff", is_flag=True, help="Show how files change."),
    click.option("-b", "--become", "become", is_flag=True, help="Run tasks as another user."),
    click.option("--become-user", "become_user", default="", help="Which user. [root]"),
    click.option("--become-method", "become_method", default="", help="How to become that user. [what the agent can]"),
    click.option("-c", "--connection", "connection", default="", help="`local` runs everything on this machine."),
    click.option("-v", "--verbose", "verbose", count=True, help="Show more; up to -vvvvvv."),
    click.option(
        *("-M", "--module-path", "module_path"),
        multiple=True,
        metavar="FOLDERS",
        help="Folders with modules, before those of ansible.cfg.",
    ),
    click.option("--vault-id", "vault_ids", multiple=True, help="A vault password: LABEL@FILE or LABEL@prompt."),
    click.option(
        "--vault-password-file", "--vault-pass-file", "vault_files", multiple=True, help="A vault password's file."
    ),
    click.option("-J", "--ask-vault-password", "--ask-vault-pass", "ask_vault", is_flag=True, help="Ask for one."),
    click.option(
        *("--controller", "controller"),
        default="",
        metavar="ADDRESS",
        help="unix:PATH or HOST:PORT; default: PYBIBLE_CONTROLLER, else one in this process.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line."),
    click.option(
        *("--disconnect-grace", "disconnect_grace"),
        type=click.FloatRange(0),
        default=None,
        metavar="SECONDS",
        help="How long a lost agent may take to come back before its tasks fail. [the controller's]",
    ),
    click.option(
        *("--on-disconnect", "on_disconnect"),
        type=click.Choice(["failed", "unreachable"]),
        default="failed",
        help="What a host lost in the middle of a task counts as.",
    ),
)


def engine_options(function: Function) -> Function:
    """Add the options. The command gets them as `asked`."""
    for names in (*_SSH_ONLY_VALUES, *_SSH_ONLY_FLAGS):
        is_flag = names in _SSH_ONLY_FLAGS
        default = False if is_flag else None
        function = click.option(
            *names, _parameter(names), is_flag=is_flag, default=default, hidden=True, help="Of no effect: no SSH."
        )(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def asked_from(given: dict[str, object]) -> Asked:
    """Take the common options out of a command's and return them. UsageError for what can't be."""
    ignored = [
        names[-1]
        for names in (*_SSH_ONLY_VALUES, *_SSH_ONLY_FLAGS)
        if given.pop(_parameter(names), None) not in {None, False}
    ]
    given["lost_is_unreachable"] = given.pop("on_disconnect") == "unreachable"
    asked = Asked(**{name: given.pop(name) for name in Asked.__slots__ if name in given}, ignored=())  # type: ignore[arg-type]
    if asked.forks is not None and asked.forks < 1:
        raise UsageError("The number of processes (--forks) must be >= 1")
    if is_ssh(asked.connection):
        ignored.append("--connection")
    elif asked.connection and place_of(asked.connection) is None:
        raise UsageError(unknown_connection(asked.connection))
    return _with_ignored(asked, ignored)


def _with_ignored(asked: Asked, ignored: list[str]) -> Asked:
    from dataclasses import replace

    local = "local" if place_of(asked.connection) is Place.HERE else ""
    return replace(asked, ignored=tuple(ignored), connection=local)


def _parameter(names: tuple[str, ...]) -> str:
    return "ssh_" + names[-1].strip("-").replace("-", "_")


def split_commas(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of options that take lists: `-t a,b -t c`."""
    return tuple(dict.fromkeys(word.strip() for value in values for word in value.split(",") if word.strip()))
