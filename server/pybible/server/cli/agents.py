"""agents: `pybible-ctl agents`: the agents that the controller knows."""

from __future__ import annotations

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import ago, labels_text, moment, print_fields, print_json, print_table, word
from pybible.server.client.fleet_pages import next_page
from pybible.v1 import fleet_pb2, fleet_pb2_grpc

_STATE = "SESSION_STATE_"


@click.group("agents", invoke_without_command=True)
@controller_option
@json_option
@click.pass_context
def command(ctx: click.Context, controller: str, as_json: bool) -> None:
    """List the agents that the controller knows."""
    ctx.obj = {**(ctx.obj or {}), "controller": controller}
    if ctx.invoked_subcommand is not None:
        return
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        agents: list[fleet_pb2.Agent] = []
        after = ""
        while True:
            answer = stub.ListAgents(fleet_pb2.ListAgentsRequest(after=after), timeout=CALL_SECONDS)
            agents += answer.agents
            after = next_page(answer, after)
            if not after:
                break
    if as_json:
        listed = [_fields(agent) for agent in agents]
        # Only `show` is told these: of ten thousand agents they would be all that there is to read.
        for each in listed:
            del each["modules"], each["policy"], each["facts_gathered"]
        print_json(listed)
        return
    print_table(
        ("NAME", "STATE", "SINCE", "VERSION", "LABELS"),
        [
            (agent.name, _state(agent), ago(agent.since), agent.version or "-", labels_text(dict(agent.labels)))
            for agent in sorted(agents, key=lambda agent: agent.name)
        ],
    )


@command.command("show")
@click.argument("name")
@controller_option
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, controller: str, as_json: bool) -> None:
    """Show all that is known of one agent, by its name or id."""
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        agent = stub.GetAgent(fleet_pb2.GetAgentRequest(agent=name), timeout=CALL_SECONDS).agent
    found = _fields(agent)
    if as_json:
        print_json(found)
        return
    found["facts_gathered"] = ago(agent.facts_gathered)
    texts = {"labels": labels_text(dict(agent.labels)), "modules": " ".join(agent.modules)}
    print_fields({**found, **texts, "policy": "; ".join(agent.policy) or "none"})


@command.command("facts")
@click.argument("name")
@controller_option
@click.pass_context
def facts(ctx: click.Context, name: str, controller: str) -> None:
    """Print the facts that an agent told of its host last, as JSON."""
    from pybible.server.client.pushed_facts import decode

    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        answer = stub.GetFacts(fleet_pb2.GetFactsRequest(agent=name), timeout=CALL_SECONDS)
    print_json(decode(answer.facts, answer.moving, age=0.0)["ansible_facts"])


@command.command("remove")
@click.argument("name")
@controller_option
@click.pass_context
def remove(ctx: click.Context, name: str, controller: str) -> None:
    """Revoke an agent's certificate, end its session and forget its name."""
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        stub.RemoveAgent(fleet_pb2.RemoveAgentRequest(agent=name), timeout=CALL_SECONDS)
    click.echo(f"{name} removed")


@command.command("revoke")
@click.argument("name")
@controller_option
@click.pass_context
def revoke(ctx: click.Context, name: str, controller: str) -> None:
    """Shut an agent out: its certificates are worthless from now on, its session ends. The name stays its own."""
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        stub.RevokeAgent(fleet_pb2.RevokeAgentRequest(agent=name), timeout=CALL_SECONDS)
    click.echo(f"{name} revoked")


@command.command("replace")
@click.argument("name")
@controller_option
@click.pass_context
def replace(ctx: click.Context, name: str, controller: str) -> None:
    """Print a join token with which a host that was built anew takes over this agent's name and place."""
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        agent = stub.GetAgent(fleet_pb2.GetAgentRequest(agent=name), timeout=CALL_SECONDS).agent
        request = fleet_pb2.CreateTokenRequest(name_pattern=agent.name, labels=agent.labels, replace=True)
        answer = stub.CreateToken(request, timeout=CALL_SECONDS)
    click.echo(answer.token)


def _state(agent: fleet_pb2.Agent) -> str:
    return word(fleet_pb2.SessionState.DESCRIPTOR, agent.state, _STATE)


def _fields(agent: fleet_pb2.Agent) -> dict[str, object]:
    return {
        "name": agent.name,
        "agent_id": agent.agent_id,
        "state": _state(agent),
        "since": moment(agent.since),
        "hostname": agent.hostname,
        "version": agent.version,
        "labels": dict(agent.labels),
        "address": agent.address,
        "epoch": agent.epoch,
        "incarnation": agent.incarnation,
        "boot_id": agent.boot_id,
        "slots": agent.slots,
        "running": agent.running,
        "load": round(agent.load, 2),
        "enrolled": moment(agent.enrolled),
        "certificate_expires": moment(agent.certificate_expires),
        "modules": list(agent.modules),
        "policy": list(agent.policy),
        "contents_sent": agent.contents_sent,
        "content_bytes_sent": agent.content_bytes_sent,
        "facts_gathered": moment(agent.facts_gathered) if agent.HasField("facts_gathered") else None,
    }
