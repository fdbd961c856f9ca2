"""test_ctl_lists: the commands that make one call, over grpcio-testing's synchronous channel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import click
import grpc
import grpc_testing
import pytest
from click.testing import CliRunner, Result
from google.protobuf.message import Message as Protobuf
from google.protobuf.timestamp_pb2 import Timestamp

from pybible.server.cli import agents, runs, token
from pybible.server.cli.listing import ago
from pybible.v1 import fleet_pb2, run_pb2
from pybible.wire.errors import AccessDenied, ConnectionFailed, PybibleError, UsageError

FLEET = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"]
RUNS = run_pb2.DESCRIPTOR.services_by_name["RunService"]

SINCE = Timestamp(seconds=1_700_000_000, nanos=123_000_000)
WEB01 = fleet_pb2.Agent(
    agent_id="id1",
    name="web01",
    state=fleet_pb2.SESSION_STATE_READY,
    since=SINCE,
    version="0.1.0",
    labels={"tier": "web", "dc": "a"},
    load=0.3472900390625,
    modules=["ping"],
)
RUN = run_pb2.RunSummary(
    run_id="01abc",
    name="site.yml",
    operator="root@vm",
    state=run_pb2.RUN_STATE_FINISHED,
    forks=5,
    started=SINCE,
    ended=SINCE,
    exit_status=2,
    recap=[run_pb2.HostRecap(host="web01", ok=3, failed=1)],
    hosts=1,
)

Ask = Callable[..., tuple[Result, Protobuf]]


@pytest.fixture
def channel() -> grpc_testing.Channel:
    """A channel whose answers the test gives."""
    return grpc_testing.channel((FLEET, RUNS), grpc_testing.strict_real_time())


@pytest.fixture
def ask(channel: grpc_testing.Channel) -> Iterator[Ask]:
    """Run a command against one answer, or one status; give what it printed and what it asked."""
    with ThreadPoolExecutor(1) as pool:

        def asked(
            command: click.Command,
            words: list[str],
            method: str,
            answer: Protobuf,
            *,
            code: grpc.StatusCode = grpc.StatusCode.OK,
            details: str = "",
        ) -> tuple[Result, Protobuf]:
            running: Future[Result] = pool.submit(
                CliRunner().invoke, command, words, obj={"channel": lambda: channel}, standalone_mode=False
            )
            descriptor = next(each.methods_by_name[method] for each in (FLEET, RUNS) if method in each.methods_by_name)
            _metadata, request, call = channel.take_unary_unary(descriptor)
            call.send_initial_metadata(())
            call.terminate(answer, (), code, details)
            return running.result(timeout=10), request

        yield asked


def test_agents_are_listed_by_name(ask: Ask) -> None:
    late = fleet_pb2.Agent(name="db01", state=fleet_pb2.SESSION_STATE_OFFLINE)
    result, _ = ask(agents.command, [], "ListAgents", fleet_pb2.ListAgentsResponse(agents=[WEB01, late]))
    lines = result.output.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "SINCE", "VERSION", "LABELS"]
    assert lines[1].split() == ["db01", "offline", "-", "-"]
    assert lines[2].startswith("web01  ready    ")
    assert lines[2].endswith("0.1.0    dc=a tier=web")


def test_agents_as_json(ask: Ask) -> None:
    result, _ = ask(agents.command, ["--json"], "ListAgents", fleet_pb2.ListAgentsResponse(agents=[WEB01]))
    (agent,) = json.loads(result.output)
    assert (agent["name"], agent["state"], agent["since"]) == ("web01", "ready", "2023-11-14T22:13:20.123Z")
    assert agent["labels"] == {"tier": "web", "dc": "a"}


def test_one_agent(ask: Ask) -> None:
    result, request = ask(agents.command, ["show", "web01"], "GetAgent", fleet_pb2.GetAgentResponse(agent=WEB01))
    assert request == fleet_pb2.GetAgentRequest(agent="web01")
    assert "\nlabels               dc=a tier=web\n" in result.output
    assert "\nload                 0.35\n" in result.output


def test_an_agent_is_removed(ask: Ask) -> None:
    result, request = ask(agents.command, ["remove", "web01"], "RemoveAgent", fleet_pb2.RemoveAgentResponse())
    assert request == fleet_pb2.RemoveAgentRequest(agent="web01")
    assert result.output == "web01 removed\n"


def test_a_token_is_made_as_asked_and_printed_alone(ask: Ask) -> None:
    words = ["create", "--ttl", "12h", "--uses", "3", "--name", "web*", "--label", "tier=web", "--label", "dc=a"]
    result, request = ask(token.command, words, "CreateToken", fleet_pb2.CreateTokenResponse(token="pbj1.x"))
    assert result.output == "pbj1.x\n"
    assert isinstance(request, fleet_pb2.CreateTokenRequest)
    assert (request.ttl.seconds, request.uses, request.name_pattern) == (43200, 3, "web*")
    assert dict(request.labels) == {"tier": "web", "dc": "a"}


@pytest.mark.parametrize("words", [["--ttl", "soon"], ["--ttl", "0"], ["--label", "x"]])
def test_a_token_that_can_not_be(words: list[str]) -> None:
    result = CliRunner().invoke(token.command, ["create", *words], standalone_mode=False)
    assert isinstance(result.exception, UsageError)


def test_tokens_are_listed_without_secrets(ask: Ask) -> None:
    listed = [fleet_pb2.Token(token_id="t1", uses_left=1, role="operator", revoked=True)]
    result, _ = ask(token.command, ["list"], "ListTokens", fleet_pb2.ListTokensResponse(tokens=listed))
    assert result.output.splitlines()[1].split() == ["t1", "operator", "revoked", "1", "any"]


def test_a_token_is_revoked(ask: Ask) -> None:
    result, request = ask(token.command, ["revoke", "t1"], "RevokeToken", fleet_pb2.RevokeTokenResponse())
    assert request == fleet_pb2.RevokeTokenRequest(token_id="t1")
    assert result.output == "t1 revoked\n"


def test_runs_are_listed(ask: Ask) -> None:
    result, request = ask(runs.command, ["--limit", "7"], "ListRuns", run_pb2.ListRunsResponse(runs=[RUN]))
    assert request == run_pb2.ListRunsRequest(limit=7)
    assert result.output.splitlines()[1].split()[:3] == ["01abc", "finished", "2"]


def test_a_run_that_nobody_brought_to_its_end_has_no_exit_status(ask: Ask) -> None:
    lost = run_pb2.RunSummary(run_id="01abc", state=run_pb2.RUN_STATE_INTERRUPTED, started=SINCE, ended=SINCE)
    found = json.loads(
        ask(runs.command, ["show", "01a", "--json"], "GetRun", run_pb2.GetRunResponse(run=lost))[0].output
    )
    assert (found["state"], found["exit_status"]) == ("interrupted", None)


def test_one_run_with_its_recap_and_attempts(ask: Ask) -> None:
    attempt = run_pb2.AttemptRecord(host="web01", agent="web01", module="ping", state="done", dispatched=SINCE)
    answer = run_pb2.GetRunResponse(run=RUN, attempts=[attempt])
    result, _ = ask(runs.command, ["show", "01a"], "GetRun", answer)
    assert "\nweb01                      : ok=3    changed=0    unreachable=0    failed=1 " in result.output
    assert result.output.splitlines()[-1].split() == [
        "web01",
        "web01",
        "ping",
        "done",
        "-",
        "no",
        "2023-11-14T22:13:20.123Z",
        "-",
    ]
    found = json.loads(ask(runs.command, ["show", "01a", "--json"], "GetRun", answer)[0].output)
    assert (found["exit_status"], found["recap"]["web01"]["ok"], found["attempts"][0]["ended"]) == (2, 3, None)


def test_a_list_shows_the_ends_of_ids_which_differ(ask: Ask) -> None:
    """Ids begin with the time."""
    ids = ["01a20c7a-c525-7a9e-80bf-d2f334850d75", "01a20c7a-48a7-734b-ace0-65ff34850d75", "01a20c7a-48a7-734b-a-1"]
    answer = run_pb2.ListRunsResponse(runs=[run_pb2.RunSummary(run_id=name, started=SINCE) for name in ids])
    result, _ = ask(runs.command, [], "ListRuns", answer)
    assert [line.split()[0] for line in result.output.splitlines()[1:]] == ["334850d75", "f34850d75", "-734b-a-1"]
    assert [run["run_id"] for run in json.loads(ask(runs.command, ["--json"], "ListRuns", answer)[0].output)] == ids


def test_a_run_is_cancelled(ask: Ask) -> None:
    running = run_pb2.RunSummary(run_id="01abc", state=run_pb2.RUN_STATE_RUNNING)
    result, request = ask(runs.command, ["cancel", "latest"], "CancelRun", run_pb2.CancelRunResponse(run=running))
    assert request == run_pb2.CancelRunRequest(run_id="latest")
    assert result.output == "01abc is being cancelled\n"


def test_a_run_that_is_over_can_not_be_cancelled(ask: Ask) -> None:
    result, _ = ask(runs.command, ["cancel", "01a"], "CancelRun", run_pb2.CancelRunResponse(run=RUN, was_over=True))
    assert isinstance(result.exception, PybibleError)
    assert str(result.exception) == "run 01abc is over already: finished"
    assert result.exception.exit_status == 1


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (grpc.StatusCode.NOT_FOUND, PybibleError, "no such agent"),
        (grpc.StatusCode.PERMISSION_DENIED, AccessDenied, "refuses"),
        (grpc.StatusCode.UNAVAILABLE, ConnectionFailed, "can't be reached"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ConnectionFailed, "does not answer in time"),
        (grpc.StatusCode.INTERNAL, ConnectionFailed, "failed"),
    ],
)
def test_a_call_that_fails_is_an_error_of_ours(
    ask: Ask, code: grpc.StatusCode, kind: type[PybibleError], text: str
) -> None:
    answer = fleet_pb2.GetAgentResponse()
    result, _ = ask(agents.command, ["show", "x"], "GetAgent", answer, code=code, details="no such agent")
    assert type(result.exception) is kind
    assert text in str(result.exception)


def test_without_a_controller_it_is_said_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYBIBLE_CONTROLLER", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/none")
    result = CliRunner().invoke(agents.command, [], standalone_mode=False)
    assert isinstance(result.exception, UsageError)
    assert "PYBIBLE_CONTROLLER" in str(result.exception)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (119, "119 s ago"),
        (600, "10 min ago"),
        (3 * 3600, "3 h ago"),
        (90 * 86400, "90 d ago"),
        (-700, "in 12 min"),
    ],
)
def test_how_long_ago(seconds: int, text: str) -> None:
    assert ago(Timestamp(seconds=1_000_000_000), now=1_000_000_000 + seconds) == text
