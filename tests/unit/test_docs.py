"""docs: what the documentation says exists: its links, the commands and options in it, and the pages made from code."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from pybible.agent import config as agent_config
from pybible.agent.cli import _parser as agent_parser
from pybible.server.cli.main import ctl
from pybible.server.client.local_worker import RESULT_DEPTH
from pybible.server.controller import bounds
from pybible.server.controller import config as controller_config
from pybible.server.controller.cli import command as controller_command
from pybible.server.controller.pki.signing import REQUEST_BYTES
from pybible.server.controller.services.agents import _ATTACHES, _ATTACHES_A_SECOND
from pybible.server.controller.services.blobs import _SILENCE_SECONDS
from pybible.server.controller.sessions.settings import OUTPUT_BYTES_A_SECOND, SessionSettings
from pybible.server.engine import commands, vault
from pybible.server.engine.commands import LOOKUP_SECONDS
from pybible.server.engine.inventory import addresses, inventory, script
from pybible.server.engine.parsing import loader, yaml_bounds, yaml_source
from pybible.server.engine.parsing.known import ACTIONS
from pybible.server.engine.parsing.scope import MAX_IMPORTS
from pybible.server.engine.plan.arguments import ARGUMENTS_FILE
from pybible.server.engine.templating import limits
from pybible.server.engine.templating.engine import SOURCE_LIMIT
from pybible.server.engine.templating.templar import DATA_DEPTH, TEMPLATE_DEPTH
from pybible.server.engine.watch import RENDER_SECONDS
from pybible.wire.limits import MESSAGE_BYTES, RESULT_BYTES
from pybible.wire.outcomes import Reason
from tests.support.reference import native_arguments, pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_CONTROLLER = controller_config.ControllerConfig(state=ROOT)
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"(?<![\w/.-])pybible-(ctl|agent|controller) (.*)")
_END = re.compile(r"[|&;<>`)]|\s#\s")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text())
    broken = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_and_option_exists(page: Path) -> None:
    wrong = []
    for program, words in _command_lines(page):
        known = {"ctl": _ctl_options, "agent": _agent_options, "controller": _controller_options}[program](words)
        if known is None:
            wrong.append(f"pybible-{program} {' '.join(words)}: no such command")
            continue
        given = [word.partition("=")[0] for word in words if re.fullmatch(r"-[A-Za-z]|--[a-z][a-z-]*(=.*)?", word)]
        wrong += [f"pybible-{program} {' '.join(words)}: no {option}" for option in given if option not in known]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_option_that_a_sentence_speaks_of_exists(page: Path) -> None:
    # All but the first are those of programs below tests/.
    known = (
        {"--step", "--seed", "--script", "--jobs", "--record", "--runs"}
        | (_controller_options([]) or set())
        | _every_ctl_option(ctl)
    )
    known |= {option for name in ("join", "run") for option in (_agent_options([name]) or set())}
    named = set(re.findall(r"`(--[a-z][a-z-]*)[ =`]", _CODE.sub("", page.read_text())))
    assert named - known == set()


def _every_ctl_option(command: click.Command) -> set[str]:
    found = {name for item in command.params if isinstance(item, click.Option) for name in item.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            found |= _every_ctl_option(inner) if inner is not None else set()
    return found


def _command_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Give the command lines in a page: in code blocks, and between backquotes in the text."""
    for line in page.read_text().splitlines():
        for program, rest in _PROGRAM.findall(line):
            text = _END.split(rest)[0].strip()
            try:
                words = shlex.split(text)
            except ValueError:
                words = text.split()
            # A program that a sentence speaks of is followed by ordinary words.
            if words and (
                "`" + "pybible-" + program + " " in line or line.startswith(("    ", "$ ", "pybible-", "#", "/"))
            ):
                yield program, words


def _ctl_options(words: list[str]) -> set[str] | None:
    command: click.Command = ctl
    options: set[str] = {"-h", "--help"}
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*", word) or not isinstance(command, click.Group):
            break
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            return None
        command = inner
    return options.union(*(item.opts for item in command.params if isinstance(item, click.Option)))


def _controller_options(words: list[str]) -> set[str] | None:
    return {"-h", "--help"}.union(*(item.opts for item in controller_command.params))


def _agent_options(words: list[str]) -> set[str] | None:
    parser = agent_parser()
    commands = next(item for item in parser._actions if isinstance(item, argparse._SubParsersAction))
    inner = commands.choices.get(words[0])
    return {"--version"} if words[0].startswith("-") else None if inner is None else set(inner._option_string_actions)


def test_the_pages_that_are_made_from_the_code_have_not_drifted() -> None:
    made = {**pages(), ARGUMENTS_FILE: native_arguments()}
    drifted = [_name(path) for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert drifted == [], "run `make docs`"


@pytest.mark.parametrize(
    ("heading", "defaults"),
    [
        ("## pybible-controller", {item.name: item.default for item in fields(controller_config.ControllerConfig)}),
        ("## pybible-agent", {item.name: item.default for item in fields(agent_config.Config)}),
    ],
    ids=["controller", "agent"],
)
def test_every_setting_is_described_with_its_default(heading: str, defaults: dict[str, object]) -> None:
    section = (DOCS / "reference" / "settings.md").read_text().partition(heading)[2].partition("\n## ")[0]
    described = dict(re.findall(r"^\| `([a-z_]+)` \| `([^`]*)` \|", section, re.MULTILINE))
    defaults.pop("state", None)
    assert described == {
        name: f'"{value}"' if isinstance(value, str) else str(value) for name, value in defaults.items()
    }


def test_every_reason_is_described() -> None:
    text = (DOCS / "reference" / "results.md").read_text()
    assert re.findall(r"^\| `([a-z_]+)` \|.*\|.*\|$", text.partition("## ")[0], re.MULTILINE) == ["reason", *Reason]


def test_every_action_is_described() -> None:
    section = (DOCS / "reference" / "language.md").read_text().partition("## Actions")[2].partition("## ")[0]
    assert set(re.findall(r"`([a-z_]+)`", section)) >= ACTIONS


def test_the_navigation_names_every_page() -> None:
    named = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert named == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize(
    ("what", "figure"),
    [
        ("rendering one template", f"{RENDER_SECONDS:g} seconds of computing"),
        ("a command of the lookups", f"{LOOKUP_SECONDS:g} seconds"),
        ("an inventory script", f"{script.TIMEOUT:g} seconds"),
        ("a file of YAML", f"{yaml_source.MAX_BYTES // 1024 // 1024} MiB"),
        ("values in it", str(yaml_bounds.MAX_VALUES)),
        ("levels that it is nested", str(yaml_bounds.MAX_DEPTH)),
        (
            "a template",
            f"{SOURCE_LIMIT // 1024 // 1024} MiB of source, {limits.OUTPUT_LIMIT // 1024 // 1024} MiB of text",
        ),
        ("a list that", f"{limits.ELEMENTS_LIMIT} elements"),
        ("a number that", f"{limits.BITS_LIMIT} bits"),
        ("templates that lead to templates", f"{TEMPLATE_DEPTH} levels"),
        ("data in variables", f"{DATA_DEPTH} levels"),
        ("what a command of a lookup", f"{commands.OUTPUT_BYTES // 1024 // 1024} MiB"),
        ("what is vaulted", f"{vault.TEXT_LIMIT // 1024 // 1024} MiB"),
        ("names in one host range", str(addresses.MAX_NAMES)),
        ("hosts of an inventory", str(inventory.MAX_HOSTS)),
        ("levels that groups are nested", str(inventory.MAX_DEPTH)),
        ("imports of playbooks", f"{MAX_IMPORTS} levels"),
        ("`include_tasks` and", f"{loader.MAX_INCLUDES} levels"),
        ("a module's result", f"{RESULT_BYTES // 1024 // 1024} MiB, {RESULT_DEPTH} levels"),
    ],
)
def test_the_limits_are_those_of_the_code(what: str, figure: str) -> None:
    lines = (DOCS / "reference" / "limits.md").read_text().splitlines()
    assert [line for line in lines if line.startswith(f"| {what}") and f"| {figure}" in line]


@pytest.mark.parametrize(
    ("what", "figure"),
    [
        ("from a connection to TLS", f"{_CONTROLLER.handshake_timeout:g} seconds"),
        ("connections to the agents' port", f"{_CONTROLLER.connections}; "),
        ("connections to the enrolment port", f"{_CONTROLLER.enroll_connections}; "),
        ("connections to the operators' port", f"{_CONTROLLER.operators_connections}; "),
        ("a connection to the enrolment port", f"{4 * _CONTROLLER.handshake_timeout:g} seconds, and 10 "),
        ("a connection without a call", f"{bounds._IDLE_SECONDS:g} seconds; 20 on the enrolment port"),
        ("calls at once on one connection to the enrolment port", f"{bounds._ENROLMENT_CALLS} "),
        ("one message", f"{MESSAGE_BYTES // 1024 // 1024} MiB; {bounds._ENROLMENT_BYTES // 1024} KiB on"),
        ("a certificate request", f"{REQUEST_BYTES // 1024} KiB"),
        ("enrolment requests", f"{_CONTROLLER.enroll_rate:g} a second, {10 * _CONTROLLER.enroll_rate:g} at once"),
        ("hosts that wait", f"{_CONTROLLER.waiting_limit} in all, {_CONTROLLER.waiting_per_address} of one address"),
        (
            "an agent's `Hello`",
            f"{SessionSettings().hello_timeout:g} seconds; {SessionSettings().silent_streams} streams",
        ),
        ("sessions that begin", f"{SessionSettings().handshakes:g} a second, {SessionSettings().handshake_burst} at"),
        (
            "sessions that begin",
            f"500 a second, 1000 at once in all; {_ATTACHES_A_SECOND:g} a second, {_ATTACHES:g} at",
        ),
        ("a handshake that waits for its turn", f"{SessionSettings().handshake_patience:g} seconds"),
        ("live output of one agent", f"{OUTPUT_BYTES_A_SECOND // 1024 // 1024} MiB a second"),
        ("silence in an upload", f"{_SILENCE_SECONDS:g} seconds"),
    ],
)
def test_the_limits_of_the_ports_are_those_of_the_code(what: str, figure: str) -> None:
    test_the_limits_are_those_of_the_code(what, figure)
