"""main: pybible-ctl."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

import click

from pybible.server.cli.exits import exit_status_of

# Name: module of this package (each with a `command`), and the line that --help shows. Nothing is imported for it.
COMMANDS = {
    "run": ("run", "Run playbooks on the hosts of an inventory."),
    "plan": ("plan", "Show the tasks that would run on each host; no host is asked."),
    "exec": ("exec_", "Run one module on hosts that match a pattern."),
    "doc": ("doc", "Show the arguments of native modules."),
    "inventory": ("inventory", "Show the hosts and groups of an inventory, and their variables."),
    "agents": ("agents", "List the agents; show or remove one."),
    "enrollments": ("enrollments", "List hosts that wait to be enrolled; approve or deny them."),
    "token": ("token", "Create, list and revoke join tokens."),
    "operators": ("operators", "List the operators who have a certificate; revoke one's."),
    "audit": ("audit", "Show who did what; verify and export the log of it."),
    "pki": ("pki", "Show the controller's authority; rotate and retire what signs."),
    "vault": ("vault", "Encrypt and decrypt files and values, as ansible-vault does."),
    "runs": ("runs", "List runs; show, watch or cancel one."),
    "lab": ("lab", "Start and stop a throwaway controller with agents on this machine."),
    "signing-key": ("signing_key", "Make or show the key with which tasks are signed."),
    "whoami": ("whoami", "Show who you are to the controller."),
    "can-i": ("can_i", "Tell whether you may have a module run on a host."),
    "login": ("login", "Get an operator's identity from a controller."),
    "version": ("version", "Print the versions of pybible and what it stands on."),
}


class _Commands(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"pybible.server.cli.{COMMANDS[cmd_name][0]}")
        command = module.command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    *("--version",),
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda *given: _version(*given),
    help="Print the versions of pybible and what it stands on, and end.",
)
def ctl() -> None:
    """Run Ansible playbooks on hosts whose agents dial out to a controller."""


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from pybible.server.cli.version import version_text

        click.echo(version_text())
        ctx.exit()


def status_of(words: Sequence[str]) -> int:
    """Run the command that the words name, and return its exit status."""
    return exit_status_of(lambda: ctl.main(words, prog_name="pybible-ctl", standalone_mode=False))


def main() -> None:
    """Run the command that the arguments name; the process ends with its exit status."""
    status = status_of(sys.argv[1:])
    # The interpreter's last collections would go through all that was ever imported, 30 ms for nothing.
    gc.freeze()
    sys.exit(status)


if __name__ == "__main__":
    main()
