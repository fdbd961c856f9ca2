"""user_home: a user's home folder and SSH key."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.modes import read_umask
from pybible.agent.modules.programs import Answer, call, need
from pybible.agent.modules.user_accounts import Account
from pybible.wire.values import JsonObject

if TYPE_CHECKING:
    from pybible.agent.modules.user import Args


def make_home(home: str, account: Account, *, skeleton: str | None, umask: str | None) -> None:
    """Make a home folder from the skeleton, all of it the account's own."""
    source = Path(skeleton or "/etc/skel")
    try:
        if source.is_dir():
            shutil.copytree(source, home, symlinks=True)
        else:
            Path(home).mkdir(parents=True)
    except OSError as error:
        raise ModuleError(str(error), name=account.name) from error
    Path(home).chmod(0o777 & ~(int(umask, 8) if umask else read_umask()))
    for folder, directories, names in os.walk(home):
        os.chown(folder, account.uid, account.gid)
        for name in (*directories, *names):
            os.lchown(Path(folder) / name, account.uid, account.gid)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKey:
    """The key that a user is to have."""

    file: str
    args: Args
    account: Account
    missing: bool

    @property
    def values(self) -> JsonObject:
        """What the result says of it before it is there."""
        return {"ssh_key_file": self.file}

    def make(self, context: Context) -> None:
        """Make the key unless there is one."""
        if not self.missing:
            return
        folder = Path(self.file).parent
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, self.account.uid, self.account.gid)
        if Path(self.file).exists():
            Path(self.file).unlink()
        args = self.args
        words = [need("ssh-keygen", context), "-t", args.ssh_key_type]
        if args.ssh_key_bits > 0:
            words += ["-b", str(args.ssh_key_bits)]
        done = _with_passphrase([*words, "-C", args.ssh_key_comment, "-f", self.file], args.ssh_key_passphrase, context)
        if done.rc:
            raise ModuleError(done.stderr, name=args.name, rc=done.rc)
        for file in (self.file, f"{self.file}.pub"):
            os.chown(file, self.account.uid, self.account.gid)

    def describe(self, context: Context) -> JsonObject:
        """Return fingerprint and public key."""
        done = call([need("ssh-keygen", context), "-l", "-f", self.file], context)
        fingerprint = done.stdout if done.rc == 0 else done.stderr
        try:
            public = Path(f"{self.file}.pub").read_text(encoding="utf-8").strip()
        except OSError:
            public = None
        return {"ssh_fingerprint": fingerprint.strip(), "ssh_public_key": public}


def _with_passphrase(words: list[str], passphrase: str | None, context: Context) -> Answer:
    """Make a key. A passphrase is given by a program that is asked for it: others can read a command line."""
    if not passphrase:
        return call([*words, "-N", ""], context)
    import tempfile  # brings OpenSSL with it

    with tempfile.TemporaryDirectory(prefix="pybible-") as folder:
        asked = Path(folder) / "askpass"
        asked.write_text("#!/bin/sh\nprintf '%s\\n' \"$PYBIBLE_PASSPHRASE\"\n", encoding="utf-8")
        asked.chmod(0o700)
        # DISPLAY is what programs before OpenSSH 8.4 want to see for it.
        also = {"SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        return call(words, context, also={**also, "PYBIBLE_PASSPHRASE": passphrase})


def plan_key(args: Args, account: Account, home: str) -> SshKey:
    """Return the key that the account is to have, and whether it has one."""
    file = args.ssh_key_file or f".ssh/id_{args.ssh_key_type}"
    path = str(Path(home) / file)
    return SshKey(file=path, args=args, account=account, missing=args.force or not Path(path).exists())
