"""readers: all that reads files, words or lines of others: whatever it is, a result comes of it or a PybibleError."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from pybible.agent import config as agent_config
from pybible.agent import state as agent_state
from pybible.agent.facts import local as local_facts
from pybible.agent.facts.source import Host
from pybible.agent.journal import Journal
from pybible.agent.policy import load_policy
from pybible.server.cli.ansible_config import read_ansible_config
from pybible.server.cli.extra_vars import extra_vars
from pybible.server.cli.settings import load_settings
from pybible.server.client.local_worker import decode_outcome
from pybible.server.client.pushed_facts import decode as decode_facts
from pybible.server.controller.config import Address, load_config
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.parsing.free_form import parse_args, split_args
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.parsing.yaml_source import load_yaml
from pybible.server.engine.vault import VaultSecret, VaultSecrets, vault_id_of
from pybible.server.results.events import decode_event
from pybible.wire.enrolment import Address as Dialled
from pybible.wire.errors import PybibleError
from pybible.wire.frames import FrameBuffer, encode
from pybible.wire.identity import JoinToken, parse_identity
from pybible.wire.signing import SigningKey, read_public_keys
from pybible.wire.tasks import spec_from_header
from pybible.wire.values import dumps, loads_object
from tests.fuzz.hunt import Target, Trial
from tests.fuzz.material import ODD_BYTES, damaged, mutated

NESTED = "a = " + "[" * 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Something that reads text. `refusals`: what it may raise, besides PybibleError."""

    samples: tuple[str, ...]
    read: Callable[[str, Path], object]
    refusals: tuple[type[Exception], ...] = ()


def kept(text: str, path: Path) -> Path:
    """Write a text as it is, whatever it is."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    path.chmod(0o600)
    return path


# -- what operators write ----------------------------------------------------------------------------------------------

YAML = (
    "- hosts: web*\n  become: true\n  vars: {a: 1, b: '{{ a }}', c: !unsafe '{{'}\n  tasks:\n"
    "    - name: say\n      debug: msg={{ b }}\n      when: a == 1\n      loop: [1, 2]\n      notify: again\n"
    "    - block:\n        - command: ls\n      rescue:\n        - ping:\n      always: []\n"
    "  handlers:\n    - name: again\n      ping:\n",
    "a: &x {b: [1, 2.5, null, ~, 0x1f, 1_000, 2026-01-31, yes]}\nc: *x\n<<: *x\n? [k]\n: v\n"
    "d: |2-\n    x\n  y\ne: >+\n z\n",
    "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n",
    "{" * 400, "[" * 400, "- " * 400, "a: &a [*a]\n", '{"a": {"b": [1, 2, {"c": null}]}}',
    "%YAML 1.2\n---\na: 1\n...\n---\nb\n",
)  # fmt: skip
INI = (
    "[web]\nweb[01:03].example.com:22 a=1 b='x y' # note\n[a:z]\n[db:children]\nweb\n[db:vars]\nx=[1, 2]\ny={'a': 1}\n",
    "h[a:e] ansible_host=::1\n[fe80::1]:22\nlocalhost ansible_connection=local\n",
    "[all:vars]\nx = 0x10\ny = 'a' 'b'\nz = __import__('os')\n", "a[1:99999999999999]\n", "a[1:5:0]\na[x:1]\n[",
)  # fmt: skip
FREE = (
    "src=a dest='b c' mode=0644 x=\"{{ y | default('a b') }}\" z={% if a %}b{% endif %}",
    "echo \"a b\" chdir=/tmp creates=x \\\n y", "a='b", 'a="b\\"c" =d e==f', "{{ {{ }} {# #} ",
)  # fmt: skip
PATTERNS = (
    "web*:&db:!h[1:3]",
    "~^w(eb$",
    "all,!x[0],~(a|b)+",
    "a[-1]:b[0:]",
    "h[1:2:3]",
    "[fe80::1]",
    "@file",
    ":::,,",
)
CONFIG = (
    "[defaults]\nforks = 5\ninventory = a, b\nroles_path = ~/r:/x\nhost_key_checking = no\n[privilege_escalation]\n"
    "become = yes ; note\n[colors]\nok = green\n", "[defaults]\nforks = %(x)s\n\tvault_password_file = y\n",
    "forks=1\n[",
    "[defaults]\nforks = 99999999999999999999999\ntimeout = 1e9\ncallbacks_enabled = a,b\nverbosity = -1\n",
)  # fmt: skip
VAULT = VaultSecrets((VaultSecret("default", b"password"),)).encrypt(b"clear", salt=b"s" * 32)


def _playbook(text: str, folder: Path) -> None:
    (folder / "site.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    Loader(static_render=lambda value, known: value).load_playbook(folder / "site.yml")


def _inventory(name: str) -> Callable[[str, Path], object]:
    return lambda text, folder: load_inventory([str(kept(text, folder / name))])


def _pattern(text: str, folder: Path) -> None:
    inventory = Inventory()
    for name in ("web01", "web02", "db01", "h1"):
        inventory.add_host(name, group="web")
    inventory.match(text)
    inventory.set_limit(text)
    inventory.match("all")


def _ansible_config(text: str, folder: Path) -> None:
    kept(text, folder / "ansible.cfg")
    read_ansible_config({}, directory=folder, home=folder)


def _settings(text: str, folder: Path) -> None:
    (folder / "pybible").mkdir(exist_ok=True)
    kept(text, folder / "pybible" / "config.toml")
    (folder / "ansible.cfg").unlink(missing_ok=True)
    load_settings({"XDG_CONFIG_HOME": str(folder)}, directory=folder, home=folder)


OPERATORS = {
    "yaml": Reader(samples=YAML, read=lambda text, folder: load_yaml(text, "file.yml")),
    "playbook": Reader(samples=YAML, read=_playbook),
    "inventory.ini": Reader(samples=INI, read=_inventory("hosts.ini")),
    "inventory.yml": Reader(
        samples=("all:\n  hosts:\n    a[1:3]: {x: 1}\n  children:\n    web:\n      vars: {y: [1]}\n", *YAML),
        read=_inventory("hosts.yml"),
    ),
    "inventory.toml": Reader(
        samples=("[web.hosts]\na = {x = 1}\n[web.vars]\ny = 1\n", NESTED), read=_inventory("h.toml")
    ),
    "host list": Reader(
        samples=("a,b[1:3],", "a[1:2],[::1]:22,"), read=lambda text, folder: load_inventory([text + ","])
    ),
    "free form": Reader(samples=FREE, read=lambda text, folder: (split_args(text), parse_args(text, command=True))),
    "arguments": Reader(samples=FREE, read=lambda text, folder: parse_args(text, command=False)),
    "extra vars": Reader(samples=(*FREE, '{"a": 1}', "[1]"), read=lambda text, folder: extra_vars([text])),
    "pattern": Reader(samples=PATTERNS, read=_pattern),
    "vault": Reader(
        samples=(VAULT, "$ANSIBLE_VAULT;1.2;AES256;id\n6162"),
        read=lambda text, folder: (
            vault_id_of(text), VaultSecrets((VaultSecret("default", b"password"),)).decrypt(text),
        ),
    ),
    "ansible.cfg": Reader(samples=CONFIG, read=_ansible_config),
    "config.toml": Reader(
        samples=('controller = "unix:/x"\nfacts = "smart"\nansible = "/x"\nsigning_key = "~/k"\n', NESTED),
        read=_settings,
    ),
}  # fmt: skip


# -- what owners of daemons write, and what daemons keep ---------------------------------------------------------------

POLICY = (
    '[modules]\nallow = ["ping", "file*"]\ndeny = ["shell"]\nnative_only = true\n[become]\nusers = ["root"]\n'
    '[paths]\nwritable = ["/srv"]\n[tasks]\nmax_seconds = 60\nhours = ["Mon-Fri 08:00-18:00"]\ncheck_only = true\n'
    '[signed]\nrequire_signed = true\nkeys = ["pybible-ed25519 AAAA me"]\n', NESTED,
)  # fmt: skip
CONTROLLER = (
    'listen = "127.0.0.1:0"\nforks = 5\ntoken_ttl = 60.5\nlog_level = "info"\n[rules.web]\noperators = ["a"]\n'
    'hosts = ["web*"]\nmodules = ["ping"]\nbecome = []\n[admit.lab]\nnames = "lab*"\nnetworks = ["10.0.0.0/8"]\n'
    'labels = {a = "b"}\n', "token_ttl = nan\nforks = 99999999999999999999\n",
    'token_ttl = inf\nlisten = ":0"\n', NESTED,
)  # fmt: skip
AGENT = (
    'slots = 4\ncontroller = "a:1"\nproxy = "http://p:3128"\nreconnect_limit = 1.5\nlog_format = "json"\n',
    "reconnect_limit = nan\nqueue = 1\n", "facts_interval = inf\nslots = 99999999999999999999\n", NESTED,
)  # fmt: skip
TOKEN = JoinToken(address="127.0.0.1:7151", pin="ab" * 32, secret="s").encode()
FACTS = ('{"a": {"b": [1]}}', "[general]\na = 1\n", "[x]\n%(y\n", "[x]\ny = %(z)s\n", "NaN", "[a\n", "[" * 3000)
ABOUT = dumps(
    {"id": "1", "name": "web01", "controller": "a:1", "renew_at": 1.5, "expires": 2, "proxy": ""}
).decode()  # fmt: skip
EVENT = (
    '{"type": "host_result", "task_id": "t", "host": "h", "status": "ok", "result": {"changed": true}}',
    '{"type": "output", "task_id": "t", "host": "h", "stream": "stdout", "text": "x", "dropped": 0}',
    '{"type": "message", "level": "warning", "text": "x"}',
)  # fmt: skip


def _local_facts(text: str, folder: Path) -> None:
    facts = folder / "facts.d"
    facts.mkdir(exist_ok=True)
    kept(text, facts / "own.fact")
    dumps(local_facts.collect(Host(environment={}, fact_path=str(facts))))


def _identity(text: str, folder: Path) -> None:
    state = folder / "state"
    if not state.exists():
        agent_state.prepare(state)
        found = agent_state.AgentIdentity(
            id="1", name="a", controller="b:1", key=b"", certificate=b"", authority=b"", renew_at=0.0
        )
        agent_state.save_identity(state, found)
    kept(text, state / "agent.json")
    agent_state.load_identity(state)


def _addresses(text: str, folder: Path) -> None:
    for parse in (Address.parse, Dialled.parse):
        try:
            parse(text)
        except PybibleError:
            continue


DAEMONS = {
    "policy.toml": Reader(samples=POLICY, read=lambda text, folder: load_policy(kept(text, folder / "policy.toml"))),
    "controller.toml": Reader(
        samples=CONTROLLER, read=lambda text, folder: load_config(folder, file=kept(text, folder / "c.toml"))
    ),
    "agent.toml": Reader(
        samples=AGENT, read=lambda text, folder: agent_config.load_config(kept(text, folder / "agent.toml"))
    ),
    "join token": Reader(samples=(TOKEN, TOKEN[:20], "pbj1."), read=lambda text, folder: JoinToken.decode(text)),
    "addresses": Reader(samples=("a:1", "[::1]:7150", ":0", "a:²", "a:٣"), read=_addresses),
    "identity": Reader(
        samples=("pybible://agent/x", "pybible://operator/"), read=lambda text, folder: parse_identity(text)
    ),
    "public keys": Reader(
        samples=("pybible-ed25519 " + "A" * 43 + "= me", "ssh-ed25519 AAAA"),
        read=lambda text, folder: read_public_keys(text.splitlines()),
        refusals=(ValueError,),
    ),
    "signing key": Reader(
        samples=("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n",),
        read=lambda text, folder: SigningKey.load(kept(text, folder / "signing.key")),
    ),
    "fact files": Reader(samples=FACTS, read=_local_facts),
    "agent.json": Reader(samples=(ABOUT, '{"renew_at": {}}', "[" * 3000), read=_identity),
    "events": Reader(
        samples=(*EVENT, "[" * 3000),
        read=lambda text, folder: decode_event(text.encode("utf-8", "surrogatepass")),
        refusals=(ValueError,),
    ),
    "results": Reader(
        samples=('{"changed": true, "a": [1e999]}', "[" * 3000, '{"a":' * 900),
        read=lambda text, folder: decode_outcome(text.encode("utf-8", "surrogatepass")),
    ),
    "tasks of frames": Reader(
        samples=('{"module": "ping", "become": ["a", "", "", ""], "attachments": [{"sha256": "a", "size": 1}]}',),
        read=lambda text, folder: spec_from_header(loads_object(text), b"{}"),
        refusals=(ValueError,),
    ),
}  # fmt: skip


def texts(readers: dict[str, Reader]) -> Callable[[Path], AbstractContextManager[Trial]]:
    """Return what opens a trial whose examples name a reader and have a text for it."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Trial]:
        def check(example: tuple[str, str]) -> None:
            name, text = example
            reader = readers[name]
            try:
                reader.read(text, folder)
            except PybibleError as error:
                # What an operator reads of it.
                str(error)
            except reader.refusals:
                pass

        yield Trial(check=check)

    return opened


def samples_of(readers: dict[str, Reader]) -> Callable[[], st.SearchStrategy[tuple[str, str]]]:
    """Return what makes such examples."""
    return lambda: st.sampled_from(sorted(readers)).flatmap(
        lambda name: st.tuples(st.just(name), damaged(readers[name].samples))
    )


# -- bytes -------------------------------------------------------------------------------------------------------------

FRAMES = encode({"type": "run", "id": "1"}, b"{}") + encode({"type": "stop", "grace": 1.0}) + encode({"type": "ready"})


def _journal(folder: Path) -> bytes:
    folder.mkdir()
    journal = Journal(folder)
    for number in range(4):
        journal.accept(f"r:{number}")
    journal.finish("r:0", b'{"changed": true}', reason="", elapsed=0.5)
    journal.finish("r:1", b"x" * 400_000, reason="", elapsed=0.5)
    journal.finish("r:2", b"{}", reason="", elapsed=0.5, secret=True)
    journal.acknowledge(["r:0"])
    journal.close()
    return (folder / "journal").read_bytes()


@contextmanager
def _bytes(folder: Path) -> Iterator[Trial]:
    state = folder / "agent"
    state.mkdir()

    def journal(data: bytes) -> None:
        (state / "journal").write_bytes(data)
        found = Journal(state)
        found.accept("r:9")
        found.finish("r:9", b"{}", reason="", elapsed=0.1)
        found.acknowledge(["r:9", "r:1"])
        found.close()

    def frames(data: bytes) -> None:
        buffer = FrameBuffer()
        for begin in range(0, len(data), 7):
            for frame in buffer.feed(data[begin : begin + 7]):
                json.dumps(frame.type)

    readers: dict[str, Callable[[bytes], object]] = {
        "journal": journal,
        "frames": frames,
        "facts": lambda data: decode_facts(data, data[:8], age=1.0),
    }

    def check(example: tuple[str, bytes]) -> None:
        try:
            readers[example[0]](example[1])
        except PybibleError as error:
            str(error)

    yield Trial(check=check)


def _kept_bytes() -> st.SearchStrategy[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        whole = _journal(Path(folder) / "whole")
    lengths = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)).map(lambda two: struct.pack(">II", *two))
    wholes = {"journal": st.just(whole), "frames": st.just(FRAMES) | lengths, "facts": ODD_BYTES}
    return st.sampled_from(sorted(wholes)).flatmap(
        lambda name: st.tuples(st.just(name), mutated(wholes[name]) | st.binary(max_size=64))
    )


OPERATORS_TEXTS = Target(
    name="operators-texts",
    about="playbooks, inventories, settings of operators",
    material=samples_of(OPERATORS),
    open=texts(OPERATORS),
    examples=300,
    deadline=20.0,
    is_quick=True,
)
DAEMONS_TEXTS = Target(
    name="daemons-texts",
    about="settings and states of daemons, words between them",
    material=samples_of(DAEMONS),
    open=texts(DAEMONS),
    examples=300,
    deadline=20.0,
    is_quick=True,
)
KEPT_BYTES = Target(
    name="bytes",
    about="journals read back, frames, facts",
    material=_kept_bytes,
    open=_bytes,
    examples=150,
    deadline=20.0,
    is_quick=True,
)
