"""hosts: what modules and facts read on a host, and the rest of what is kept in files: keys, certificates, commands."""

from __future__ import annotations

import configparser
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from pybible.agent.facts.gather import COLLECTORS
from pybible.agent.modules import (
    alternatives,
    firewall,
    fstab,
    getent,
    git_config,
    htpasswd,
    locale_gen,
    mount_tables,
    mounts,
    npm,
    pam_limits,
    pip,
    rsync_trees,
    service_facts,
    ssh_keys,
    subversion,
    sysctl,
    systemd,
    timezone,
    yum_repository,
    zypper_output,
)
from pybible.agent.modules.api import ModuleError
from pybible.server.cli.kept import read_command, told_events
from pybible.server.cli.token import read_labels
from pybible.server.controller.pki.authority import open_authority
from pybible.server.engine.inventory.patterns import read_limit
from pybible.server.engine.variables.fact_cache import JsonFileCache
from pybible.wire.faults import Faults
from pybible.wire.identity import certificate_identity
from pybible.wire.proxy import check_proxy
from pybible.wire.tickets import DoorAnswer
from pybible.wire.values import dumps
from tests.fuzz.hunt import Target
from tests.fuzz.readers import EVENT, Reader, kept, samples_of, texts
from tests.unit.facts.test_foreign_files import REAL, Odd
from tests.unit.modules.test_package_words import PARSERS

# -- what modules read of files and of other programs' words -----------------------------------------------------------

_Parse = Callable[[str], object]
_TABLES: dict[str, tuple[_Parse, tuple[str, ...]]] = {
    "fstab": (lambda text: [fstab.parse(line) for line in text.splitlines()], ("/dev/a /b ext4 rw,x=1 0 2\n# c\n\n",)),
    "mountinfo": (fstab.parse_mounts, ("60 27 254:0 /srv/data /mnt/da\\040ta rw - ext4 /dev/vda rw\n",)),
    "mounts": (mounts.parse, ("/dev/a /my\\040files ext4 rw 0 1\n", "a b c d e f\n")),
    "tables of mounts": (lambda text: list(mount_tables.of_file(text)), ("/dev/a /b ext4 rw 0 1\n",)),
    "sysctl.conf": (sysctl.values_of, ("net.ipv4.ip_forward = 1\n; note\n-a.b=2\n",)),
    "limits.conf": (
        lambda text: [pam_limits.parse(line) for line in text.splitlines()],
        ("@users hard nofile 4096 # x\n* - core 0\n",),
    ),
    "authorized_keys": (
        lambda text: [ssh_keys.parse_key(line) for line in text.splitlines()],
        ('command="a \\"b\\"",no-pty ssh-ed25519 AAAAC3Nza me@x\n', "ssh-rsa AAAA\n"),
    ),
    "htpasswd": (lambda text: [htpasswd.parse(line) for line in text.splitlines()], ("a:$apr1$x$y\n", ":\n")),
    "alternatives": (alternatives.parse, ("Name: a\nLink: /b\nStatus: auto\nAlternative: /c\nPriority: 5\n",)),
    "zones": (firewall.parse_zone, ("public (active)\n  interfaces: a b\n  ports: 1/tcp\n",)),
    "git config": (git_config.parse, ("a\0b\n\0",)),
    "svn info": (subversion.parse_info, ("URL: file:///a\nRevision: 1\n",)),
    "timedatectl": (timezone.status, ("  Time zone: Europe/Berlin (CET, +0100)\n RTC in local TZ: no\n",)),
    "locales": (locale_gen.available, ("# de_DE.UTF-8 UTF-8\nC.UTF-8 UTF-8\n",)),
    "systemctl show": (systemd.parse_show, ("A=b\nExecStart={ path=/x ;\n argv[]=y }\nC=\n",)),
    "sysv services": (service_facts.parse_sysv, (" [ + ]  ssh\n [ ? ]  x\n",)),
    "systemd units": (
        lambda text: service_facts.parse_systemd(text, text),
        ("ssh.service loaded active running x\nssh.service enabled\n",),
    ),
    "getent": (lambda text: (getent.parse(text, ":"), getent.parse(text, None)), ("root:x:0:0::/root:/bin/sh\n",)),
    "pip freeze": (pip.parse_freeze, ("a==1\nb @ file:///x\n-e git+x#egg=c\n",)),
    "rsync": (rsync_trees.parse_names, (".d..t...... ./\n>f+++++++++ a b\n",)),
}  # fmt: skip
_DOCUMENTS: dict[str, tuple[_Parse, tuple[str, ...], type[Exception]]] = {
    "npm list": (npm.parse_list, ('{"dependencies": {"a": {"version": "1"}}}', "[" * 3000), ModuleError),
    "zypper": (zypper_output.parse, ("<stream><message>x</message></stream>",), zypper_output.OutputError),
    "yum repositories": (yum_repository.parse, ("[a]\nname = b\nbaseurl = c\n d\n",), configparser.Error),
}


def _of_packages(parse: _Parse) -> Reader:
    samples = (
        "Installing:\n foo x86_64 1.0-1 demo 6 k\n",
        "foo 1.0 -> 1.1 [ignored]\n(1/2) Installing foo (1.0)\n",
        "pub:-:4096:1:AAAA:1:::-:::sc\nfpr:::::::::BBBB:\n",
        "* a/b: c\n# debconf\n",
        "Name Version Rev\nfoo 1 2\n",
    )
    return Reader(samples=samples, read=lambda text, folder: parse(text))


def _of_facts(text: str, _folder: Path) -> None:
    host = Odd(environment={"PATH": "/nonexistent"}, others=text, fact_path="/nonexistent")
    for collector in COLLECTORS:
        dumps(collector.collect(host))


# -- what is kept ------------------------------------------------------------------------------------------------------


def _pems() -> tuple[str, str]:
    """Return the root's and the issuing authority's file of a new authority."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        open_authority(Path(folder) / "pki")
        return tuple((Path(folder) / "pki" / name).read_text() for name in ("root.pem", "issuing.pem"))  # type: ignore[return-value]


def _authority(name: str, text: str, folder: Path) -> None:
    """Open an authority of which one file is what somebody left there."""
    whole, mine = folder / "pki-whole", folder / "pki"
    if not whole.exists():
        open_authority(whole)
    shutil.rmtree(mine, ignore_errors=True)
    shutil.copytree(whole, mine)
    kept(text, mine / name)
    open_authority(mine)


def _fact_cache(text: str, folder: Path) -> None:
    cache = JsonFileCache(folder / "cache", warn=lambda _text: None)
    kept(text, folder / "cache" / "web01")
    cache.load("web01")


def _limit(text: str, folder: Path) -> None:
    read_limit(f"@{kept(text, folder / 'limit')},{text}")


def _command(text: str, folder: Path) -> None:
    kept(text, folder / "command.json")
    read_command(folder)


def _told(text: str, folder: Path) -> None:
    kept(text, folder / "told")
    list(told_events(folder))


_ROOT, _ISSUING = _pems()
_COMMAND = (
    '{"version": 1, "runs": ["a"], "started": 1.5, "directory": "/", "controller": "", "options": {}, "extra_vars": []}'
)
KEPT = {
    "root.pem": Reader(samples=(_ROOT,), read=lambda text, folder: _authority("root.pem", text, folder)),
    "issuing.pem": Reader(samples=(_ISSUING, _ROOT), read=lambda text, folder: _authority("issuing.pem", text, folder)),
    "certificate": Reader(
        samples=(_ROOT, _ISSUING),
        read=lambda text, folder: certificate_identity(
            x509.load_pem_x509_certificate(text.encode("utf-8", "surrogatepass"))
        ),
        refusals=(ValueError,),
    ),
    "proxy": Reader(samples=("http://u:p@h:1", "http://[::1]:8", ""), read=lambda text, folder: check_proxy(text)),
    "door": Reader(
        samples=('{"ticket":"x","seconds":1.0,"refusal":"","hint":""}', "[" * 3000),
        read=lambda text, folder: DoorAnswer.decode(text.encode("utf-8", "surrogatepass")),
    ),
    "faults": Reader(
        samples=("agent_after_accept:kill9@2", "x:delay=nan"),
        read=lambda text, folder: Faults(text),
        refusals=(ValueError,),
    ),
    "labels": Reader(samples=("a=1", "=", "a=b=c"), read=lambda text, folder: read_labels((text,))),
    "limit": Reader(samples=("web01\ndb*\n\n!x\n", "@limit"), read=_limit),
    "fact cache": Reader(samples=('{"a": {"b": 1}}', "[" * 3000, "[1]"), read=_fact_cache),
    "command": Reader(samples=(_COMMAND,), read=_command, refusals=(OSError, ValueError, TypeError)),
    "told": Reader(samples=(*EVENT, "\n".join(EVENT)), read=_told, refusals=(OSError,)),
}  # fmt: skip

HOSTS = {
    **{
        name: Reader(samples=samples, read=lambda text, folder, parse=parse: parse(text))  # type: ignore[misc]
        for name, (parse, samples) in _TABLES.items()
    },
    **{
        name: Reader(samples=samples, read=lambda text, folder, parse=parse: parse(text), refusals=(error,))  # type: ignore[misc]
        for name, (parse, samples, error) in _DOCUMENTS.items()
    },
    **{f"packages {number}": _of_packages(parse) for number, parse in enumerate(PARSERS)},
    "facts": Reader(samples=tuple(REAL), read=_of_facts),
}  # fmt: skip

HOSTS_TEXTS = Target(
    name="hosts-texts",
    about="files of hosts and words of their programs, by modules and facts",
    material=samples_of(HOSTS),
    open=texts(HOSTS),
    examples=300,
    deadline=20.0,
    is_quick=True,
)
KEPT_TEXTS = Target(
    name="kept-texts",
    about="keys and certificates, kept commands, and words on command lines",
    material=samples_of(KEPT),
    open=texts(KEPT),
    examples=150,
    deadline=20.0,
    is_quick=True,
)
