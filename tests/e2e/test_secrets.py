"""test_secrets: what no_log hides and what a vault holds is only where the task puts it, for every native module.

A run with every module, each with planted secrets among its arguments, then a search through all that the parts keep.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pybible.agent.modules import registry
from pybible.wire.identity import JoinToken
from tests.support.lab import Lab, lab

pytestmark = pytest.mark.e2e

# Known to the vault, and used in tasks with no_log.
TASK = "planted-in-a-task-6b1f"
# Arguments that the module itself hides; not even the list of processes may show them.
HIDDEN = "planted-as-an-argument-93ce"
HASH = f"$6$salt${'x' * 57}{HIDDEN}"

VAULT_PASSWORD = "planted-as-a-vault-password-27aa"  # what opens all of them
# What is told of tokens, operators and runs afterwards.
TOLD = (
    ("token", "list"),
    ("token", "list", "--json"),
    ("operators", "--json"),
    ("agents", "--json"),
    ("audit", "export"),
    ("runs", "show", "latest", "--json"),
    ("runs", "watch", "latest", "-vvvv"),
    ("whoami", "--json"),
)

# What runs for real, with arguments that mean something; every other module runs in check mode, with the secret
# wherever it takes a text.
REAL: dict[str, list[dict[str, object]]] = {
    "command": [{"cmd": "echo {{ secret }}"}, {"cmd": "ls /nonexistent/{{ secret }}"}, {"cmd": "/no/{{ secret }}"}],
    "shell": [{"cmd": "for i in 1 2 3; do echo {{ secret }}; sleep 0.2; done; exit 3"}],
    "raw": [{"_raw_params": "echo {{ secret }}; exit 1"}],
    "script": [{"cmd": "say.sh {{ secret }}"}],
    "copy": [{"content": "{{ secret }}", "dest": "OUT/copied"}, {"src": "{{ secret }}", "dest": "OUT/copied"}],
    "template": [{"src": "secret.j2", "dest": "OUT/rendered"}, {"src": "broken.j2", "dest": "OUT/rendered"}],
    "lineinfile": [{"path": "OUT/lines", "create": True, "line": "{{ secret }}", "backup": True}],
    "blockinfile": [{"path": "OUT/lines", "block": "{{ secret }}"}],
    "replace": [{"path": "OUT/lines", "regexp": "{{ secret }}", "replace": "{{ secret }}{{ secret }}"}],
    "slurp": [{"src": "OUT/copied"}, {"src": "/nonexistent/{{ secret }}"}],
    "fetch": [{"src": "OUT/copied", "dest": "OUT/fetched/"}],
    "stat": [{"path": "OUT/{{ secret }}"}, {"path": "OUT", "nosuch": "{{ secret }}"}],
    "file": [{"path": "OUT/made", "state": "{{ secret }}"}],
    "find": [{"paths": "OUT", "patterns": "{{ secret }}*"}],
    "uri": [{"url": "http://127.0.0.1:9/{{ secret }}", "body": "{{ secret }}", "timeout": 1}],
    "get_url": [{"url": "http://127.0.0.1:9/{{ secret }}", "dest": "OUT/got", "timeout": 1}],
    "wait_for": [{"path": "OUT/{{ secret }}", "timeout": 1}],
}
# Without no_log: these arguments are secret by themselves.
BY_THEMSELVES: list[dict[str, dict[str, object]]] = [
    {"copy": {"content": "{{ hidden }}", "dest": "OUT/content"}},
    {"copy": {"content": "{{ hidden }}", "dest": "/nonexistent/folder/content"}},
    {"uri": {"url": "http://127.0.0.1:9/", "url_username": "me", "url_password": "{{ hidden }}", "timeout": 1}},
    {"get_url": {"url": "http://127.0.0.1:9/", "dest": "OUT/x", "url_password": "{{ hidden }}", "timeout": 1}},
    {"uri": {"url": "http://127.0.0.1:9/", "url_password": "{{ hidden }}", "status_code": "{{ hidden }}"}},
    {"user": {"name": "pybible-planted", "password": "{{ hash }}", "system": "{{ hash }}"}},
    {"user": {
        "name": "root", "ssh_key_file": "OUT/key", "generate_ssh_key": True, "ssh_key_passphrase": "{{ hidden }}",
    }},
    {"community.general.htpasswd": {"path": "OUT/htpasswd", "name": "me", "password": "{{ hidden }}"}},
    {"yum_repository": {
        "name": "x", "description": "x", "baseurl": "http://x", "reposdir": "OUT",
        "password": "{{ hidden }}", "proxy_password": "{{ hidden }}",
    }},
    {"subversion": {"repo": "http://127.0.0.1:9/", "dest": "OUT/svn", "username": "me", "password": "{{ hidden }}"}},
]  # fmt: skip


def generated(name: str) -> dict[str, object]:
    """Return arguments with the secret wherever the module takes a text."""
    module = registry.find(name)
    assert module is not None
    return {
        argument.name: "{{ secret }}"
        for argument in module.spec.arguments.values()
        if argument.kind in ("str", "path", "raw") and not argument.choices and not argument.internal
    }


def tasks(out: Path) -> list[dict[str, object]]:
    """Return the whole list."""
    listed: list[dict[str, object]] = []
    for name in registry.NAMES:
        listed += [{"name": name, name: args, "no_log": True} for args in REAL.get(name, [])]
        if name not in ("command", "shell", "raw", "script"):
            listed.append({"name": f"{name} (check)", name: generated(name), "no_log": True, "check_mode": True})
    listed += [{"name": f"{next(iter(each))} (argument)", **each} for each in BY_THEMSELVES]
    for task in listed:
        task["ignore_errors"] = True
    filled: list[dict[str, object]] = yaml.safe_load(yaml.safe_dump(listed, sort_keys=False).replace("OUT", str(out)))
    return filled


class ProcessList(threading.Thread):
    """Looks at every command line of the machine, again and again."""

    def __init__(self, *wanted: str) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._wanted = [each.encode() for each in wanted]
        self._over = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.is_set():
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    with contextlib.suppress(OSError):
                        line = Path(entry.path, "cmdline").read_bytes()
                        if any(each in line for each in self._wanted):
                            self.seen.add(line)

    def stop(self) -> set[bytes]:
        """Return what was seen."""
        self._over.set()
        self.join()
        return self.seen


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with lab(agents=1, config='operators_listen = "127.0.0.1:0"\n') as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "files").mkdir(parents=True)
    (folder / "templates").mkdir()
    (folder / "files" / "say.sh").write_text("#!/bin/sh\necho $1; echo $1 >&2; exit 4\n")
    (folder / "templates" / "secret.j2").write_text("{{ secret }}\n")
    (folder / "templates" / "broken.j2").write_text("{{ secret | no_such_filter }}\n")
    (folder / "password").write_text("vault password\n")
    (folder / "secrets.yml").write_text(f"secret: {TASK}\nhidden: {HIDDEN}\nhash: {HASH!r}\n")
    words = ["pybible-ctl", "vault", "encrypt", "--vault-password-file", "password", "secrets.yml"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=60)
    assert TASK not in (folder / "secrets.yml").read_text()
    return folder


def holders(folder: Path, *secrets: str) -> list[str]:
    """Return the files below `folder` that hold one of these."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [f"{path}: {secret}" for secret in secrets if secret.encode() in content]
    return found


@pytest.mark.parametrize("words", [("-vvv",), ("--json",), ("-v", "-c", "local")], ids=["screen", "json", "here"])
def test_secrets_are_nowhere_but_where_tasks_put_them(
    running: Lab, project: Path, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    out.mkdir()
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(state))
    monkeypatch.setenv("ANSIBLE_LOG_PATH", str(state / "ansible.log"))
    state.mkdir()
    play = {"hosts": "lab01", "gather_facts": False, "vars_files": ["secrets.yml"], "tasks": tasks(out)}
    (project / "site.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    looking = ProcessList(HIDDEN)
    looking.start()
    result = running.ctl("run", str(project / "site.yml"), "--vault-password-file", str(project / "password"), *words)
    in_processes = looking.stop()
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    shown = result.stdout + result.stderr
    for name in registry.NAMES:
        assert f"{name}" in shown
    replayed = running.ctl("runs", "watch", "latest", "-vvv", check=True)
    told = running.ctl("runs", "show", "latest", "--json", check=True)

    for text in (shown, replayed.stdout, replayed.stderr, told.stdout):
        assert [line for line in text.splitlines() if TASK in line or HIDDEN in line] == []
    assert in_processes == set()
    assert holders(running.folder, TASK, HIDDEN) == []
    assert holders(state, TASK, HIDDEN) == []
    # The search finds what is there.
    assert any(TASK in line for line in holders(out, TASK, HIDDEN))
    assert "copied" in {path.name for path in out.iterdir()}


def test_large_content_that_may_hold_secrets_goes_with_its_task_and_its_run(
    running: Lab, project: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    rows = "{{ (secret ~ '\n') * 9000 }}"
    (project / "templates" / "large.j2").write_text("{{ (secret ~ '\n') * 9000 }}")
    (project / "files" / "large").write_text((TASK + "\n") * 9000)
    words = ["pybible-ctl", "vault", "encrypt", "--vault-password-file", "password", "files/large"]
    subprocess.run(words, cwd=project, check=True, capture_output=True, timeout=60)
    listed: list[dict[str, object]] = [
        {"template": {"src": "large.j2", "dest": f"{out}/rendered"}},
        {"copy": {"content": rows, "dest": f"{out}/content"}},
        {"copy": {"src": "large", "dest": f"{out}/decrypted"}},
        {"slurp": {"src": f"{out}/decrypted"}, "no_log": True},
        {"shell": f"cat {out}/decrypted", "no_log": True},
    ]
    play = {"hosts": "lab01", "gather_facts": False, "vars_files": ["secrets.yml"], "tasks": listed}
    (project / "site.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    result = running.ctl("run", str(project / "site.yml"), "--vault-password-file", str(project / "password"))
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert {path.name: path.stat().st_size > 64 * 1024 for path in out.iterdir()} == dict.fromkeys(
        ("rendered", "content", "decrypted"), True
    )
    wait_until(lambda: holders(running.folder, TASK, HIDDEN) == [])


def test_every_argument_that_is_secret_by_itself_is_planted() -> None:
    planted = {
        (name, argument)
        for task in BY_THEMSELVES
        for name, args in task.items()
        for argument, value in args.items()
        if "hidden" in str(value) or "hash" in str(value)
    }
    secret = {
        (name, argument.name)
        for name in registry.NAMES
        if (module := registry.find(name)) is not None
        for argument in module.spec.arguments.values()
        if argument.no_log and not argument.internal
    }
    # What template is given is rendered: it has this one because it does what copy does.
    assert secret - planted == {("template", "content")}


def test_credentials_are_only_with_those_whose_they_are(
    running: Lab, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(state))
    (project / "password").write_text(VAULT_PASSWORD)
    run = ["pybible-ctl", "vault", "encrypt_string", "--vault-password-file", "password", TASK]
    vaulted = subprocess.run(run, cwd=project, check=True, capture_output=True, text=True, timeout=60).stdout
    for_operator = running.ctl("token", "create", "--role", "runner", check=True).stdout.strip()
    for_agent = running.ctl("token", "create", "--name", "joined", check=True).stdout.strip()
    secrets = [VAULT_PASSWORD, *(JoinToken.decode(token).secret for token in (for_operator, for_agent))]
    secrets += [for_operator, for_agent]
    looking = ProcessList(*secrets)
    looking.start()
    said = [
        with_input(for_operator, "pybible-ctl", "login", "--token", "-", "--name", "somebody"),
        with_input(for_agent, "pybible-agent", "join", "--token", "-", "--state", str(state / "joined")),
    ]
    keys = key_lines(state)
    said.append(running.ctl("signing-key", "create", check=True).stdout)
    keys |= key_lines(state)
    assert len(keys) == 3
    play = {"hosts": "lab01", "gather_facts": False, "tasks": [{"command": "true", "no_log": True}, {"debug": {}}]}
    text = yaml.safe_dump([play]) + "  vars:\n    secret: " + vaulted.replace("\n", "\n    ")
    (project / "site.yml").write_text(text)
    words = ["run", str(project / "site.yml"), "--vault-password-file", str(project / "password"), "-vvvv"]
    done = running.ctl(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    said += [done.stdout, done.stderr]
    for asked in TOLD:
        told = running.ctl(*asked, check=True)
        said += [told.stdout, told.stderr]
    assert looking.stop() == set()
    assert [secret for secret in (*secrets, *keys) for text in said if secret in text] == []
    assert holders(running.folder, *secrets, *keys) == []
    assert holders(state, *secrets) == []
    # Each is in the one file of its owner.
    owners = [line.partition(": ")[0] for line in holders(state, *keys)]
    assert len(owners) == len(set(owners)) == len(keys)


def with_input(text: str, *words: str) -> str:
    """Run a command that reads a secret, and return what it says."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout + done.stderr


def key_lines(folder: Path) -> set[str]:
    """Return a line of each private key below a folder, one that no other key has."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            first, *more = path.read_text().split("PRIVATE KEY-----\n")[1].splitlines()
            # A key begins by saying what kind it is.
            found.add(first[24:] if more[0].startswith("-") else more[0])
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
