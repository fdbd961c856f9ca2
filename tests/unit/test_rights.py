"""test_rights: what an operator may have run, by his role and by the rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybible.server.controller.rights import Rights, Rule, Work, read_rules
from pybible.wire.errors import ConfigError
from pybible.wire.identity import OperatorRole

WEB = Rule(
    name="web-team",
    operators=("alice", "ci-*"),
    hosts=("web*",),
    modules=("service", "copy", "template", "community.docker.*"),
    become=(),
)
BERLIN = Rule(name="berlin", operators=("alice",), labels={"site": "berlin"}, check_only=True)
RULES = (WEB, BERLIN)


def work(
    agent: str = "web01", module: str = "copy", *, become: str = "", check: bool = False, site: str = "rome"
) -> Work:
    return Work(agent=agent, labels={"site": site, "rack": "7"}, module=module, become=become, check=check)


def refusal(asked: Work, operator: str = "alice", role: OperatorRole = OperatorRole.RUNNER) -> str:
    return Rights(operator=operator, role=role, rules=RULES).refusal(asked)


@pytest.mark.parametrize(
    ("operator", "asked"),
    [
        ("alice", work()),
        ("ci-7", work(module="community.docker.docker_container")),
        ("alice", work("db01", "shell", become="root", check=True, site="berlin")),
    ],
)
def test_what_one_rule_allows_may_be_run(operator: str, asked: Work) -> None:
    assert refusal(asked, operator) == ""


@pytest.mark.parametrize(
    ("operator", "asked", "said"),
    [
        ("alice", work("db01"), "rule 'web-team' does not allow tasks on db01"),
        ("alice", work(module="shell"), "rule 'web-team' does not allow module 'shell'"),
        ("ci-7", work(become="root"), "rule 'web-team' does not allow becoming user 'root'"),
        ("bob", work(), "no rule lets operator 'bob' run anything"),
        ("al", work(), "no rule lets operator 'al' run anything"),
    ],
)
def test_a_refusal_names_the_rule(operator: str, asked: Work, said: str) -> None:
    assert refusal(asked, operator) == f"refused by the controller: {said}"


def test_labels_and_check_mode_count() -> None:
    rights = Rights(operator="alice", role=OperatorRole.RUNNER, rules=(BERLIN,))
    assert rights.refusal(work(site="berlin", check=True)) == ""
    assert rights.refusal(work(site="berlin")).endswith("rule 'berlin' does not allow tasks outside of check mode")
    assert rights.refusal(work(check=True)).endswith("tasks on web01, which has other labels")


def test_a_rule_about_modules_means_those_of_the_agent() -> None:
    spoofed = replace(work(), replaces=True)
    assert refusal(spoofed).endswith("rule 'web-team' does not allow a module 'copy' other than the agent's own")
    assert Rights(operator="alice", role=OperatorRole.RUNNER).refusal(spoofed) == ""


@pytest.mark.parametrize("rule", [WEB, replace(WEB, modules=None), replace(WEB, become=None)])
def test_no_way_around_a_rule_leads_through_becoming_a_user(rule: Rule) -> None:
    rights = Rights(operator="alice", role=OperatorRole.RUNNER, rules=(rule,))
    assert "becoming a user by the program '/bin/sh'" in rights.refusal(replace(work(), by="the program '/bin/sh'"))


def test_a_rule_for_a_certificate_is_not_for_a_user_of_that_name() -> None:
    assert refusal(work(), "unix:alice").endswith("no rule lets operator 'unix:alice' run anything")


def test_rules_are_for_runners() -> None:
    assert refusal(work("db01", "shell"), "bob", OperatorRole.ADMIN) == ""
    assert refusal(work(), "alice", OperatorRole.VIEWER) == "refused by the controller: the role viewer runs nothing"
    assert (
        refusal(work(), "alice", OperatorRole.APPROVER) == "refused by the controller: the role approver runs nothing"
    )


def test_without_any_rule_a_runner_runs_everything() -> None:
    assert Rights(operator="bob", role=OperatorRole.RUNNER).refusal(work("db01", "shell", become="root")) == ""


def test_rules_are_read_from_the_configuration() -> None:
    found = read_rules(
        {
            "web-team": {
                "operators": ["alice", "ci-*"],
                "hosts": ["web*"],
                "modules": ["ansible.builtin.service", "copy", "template", "community.docker.*"],
                "become": [],
            },
            "berlin": {"operators": ["alice"], "labels": {"site": "berlin"}, "check_only": True},
        },
        where="controller.toml",
    )
    assert found == RULES


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "rules must be tables: [rules.NAME]"),
        ({"web": 1}, "[rules.web] must be a table"),
        ({"web": {"hosts": ["web*"]}}, "[rules.web]: operators is missing"),
        ({"web": {"operators": ["a"], "host": ["web*"]}}, "[rules.web]: unknown setting 'host'"),
        ({"web": {"operators": "a"}}, "[rules.web]: operators must be a list of texts, not 'a'"),
        ({"web": {"operators": ["a"], "labels": ["x"]}}, "[rules.web]: labels must be a table of texts, not ['x']"),
        ({"web": {"operators": ["a"], "check_only": 1}}, "[rules.web]: check_only must be true or false, not 1"),
    ],
)
def test_a_rule_that_is_wrong_is_told_with_its_name(rules: object, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_rules(rules, where="controller.toml")
    assert str(raised.value).startswith(f"controller.toml: {said}")
