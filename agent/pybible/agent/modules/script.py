"""script: runs a script of the control node's on the host. The engine sends it as content."""

from __future__ import annotations

import glob
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.process import environment_for, run_process
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of script."""

    _raw_params: str | None = arg(default=None, doc="the script and its arguments")
    cmd: str | None = arg(default=None, doc="the script and its arguments")
    creates: PathText | None = arg(default=None, doc="path or glob: when it is there, nothing is run")
    removes: PathText | None = arg(default=None, doc="path or glob: when it is not there, nothing is run")
    chdir: PathText | None = arg(default=None, doc="folder in which to run")
    executable: str | None = arg(default=None, doc="what runs the script")
    decrypt: bool = arg(default=True, doc="decrypt a vaulted script before it is sent")
    _content: str | None = arg(default=None, internal=True)
    _name: str = arg(default="script", internal=True)
    _arguments: str = arg(default="", internal=True)

    @property
    def attached(self) -> str:
        """The sha256 of the script."""
        if self._content is None:
            raise ModuleError("script: the script did not come with the task")
        return self._content

    @property
    def file_name(self) -> str:
        """What the script is called."""
        return self._name

    @property
    def arguments(self) -> str:
        """What is said behind the script's name, as a shell reads it."""
        return self._arguments


def plan(args: Args, context: Context) -> Plan:
    """Decide whether the script has to run."""
    if args.creates is not None and glob.glob(args.creates):  # noqa: PTH207
        return Unchanged(values={"skipped": True, "msg": f"{args.creates} exists, matching creates option"})
    if args.removes is not None and not glob.glob(args.removes):  # noqa: PTH207
        return Unchanged(values={"skipped": True, "msg": f"{args.removes} does not exist, matching removes option"})
    if args.chdir is not None and not args.chdir.startswith("/"):
        raise ModuleError(f"chdir {args.chdir} must be an absolute path")
    if context.check and not (args.creates or args.removes):
        return Unchanged(values={"skipped": True, "msg": "Check mode is not supported for this task."})
    return Change(apply=partial(_run, args, context))


def _run(args: Args, context: Context) -> JsonObject:
    with tempfile.TemporaryDirectory(prefix="pybible-script-") as folder:
        file = Path(folder) / Path(args.file_name).name
        shutil.copyfile(context.content(args.attached), file)
        file.chmod(0o700)
        line = " ".join(filter(None, (args.executable, str(file), args.arguments)))
        try:
            done = run_process(
                ["/bin/sh", "-c", line],
                environment=environment_for(context.environment, args.chdir),
                directory=args.chdir,
                emit=context.emit,
            )
        except OSError as error:
            raise ModuleError(f"script failed: {error}", rc=error.errno) from error
    result: JsonObject = {
        "rc": done.rc,
        "stdout": done.stdout.decode("utf-8", "surrogateescape"),
        "stderr": done.stderr.decode("utf-8", "surrogateescape"),
    }
    if done.rc:
        result |= {"failed": True, "msg": "non-zero return code"}
    return result


MODULE = Module(name="script", args=Args, plan=plan, mutually_exclusive=(("_raw_params", "cmd"),))
