"""yum_repository: adds and removes repositories of RPM packages, for dnf and yum."""

from __future__ import annotations

import configparser
import dataclasses
import io
from dataclasses import dataclass
from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import (
    Change,
    Context,
    Diff,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.attributes import AttributeChange, plan_attributes
from pybible.agent.modules.files import beside, lstat, replace
from pybible.wire.values import JsonObject, JsonValue

_GONE = "it has no effect with dnf as an underlying package manager."
# What 2.19 says of arguments that dnf has no use for, and the version that is to be without them.
_DEPRECATED = {
    "async": ("it has been removed on systems supported by ansible-core", "2.22"),
    "keepcache": ("it is only valid in the main configuration.", "2.20"),
    **dict.fromkeys(
        (
            "deltarpm_metadata_percentage", "gpgcakey", "http_caching", "keepalive", "metadata_expire_filter",
            "mirrorlist_expire", "protect", "ssl_check_cert_permissions", "ui_repoid_vars",
        ),
        (_GONE, "2.22"),
    ),
}  # fmt: skip
# What of a repository's file goes by another name, or is not in it.
_SHARED = frozenset(item.name for item in dataclasses.fields(FileAttributes))
_NOT_OPTIONS = frozenset(("description", "file", "name", "reposdir", "state"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of yum_repository."""

    name: str = arg(doc="the repository's id")
    state: Literal["absent", "present"] = arg(default="present", doc="what is wanted")
    description: str | None = arg(default=None, doc="its name for people")
    file: str | None = arg(default=None, doc="name of its file without `.repo`; as the repository")
    reposdir: PathText = arg(default="/etc/yum.repos.d", doc="folder of the repositories' files")
    baseurl: list[str] | None = arg(default=None, doc="where it is")
    mirrorlist: str | None = arg(default=None, doc="where the list of its mirrors is")
    metalink: str | None = arg(default=None, doc="where its metalink is")
    async_: bool | None = arg(default=None, doc="download from it in parallel")
    bandwidth: str | None = arg(default=None, doc="bytes a second that there are")
    cost: str | None = arg(default=None, doc="how dear it is beside others")
    countme: bool | None = arg(default=None, doc="let its owner count this host")
    deltarpm_metadata_percentage: str | None = arg(default=None, doc="how big metadata of deltas may be")
    deltarpm_percentage: str | None = arg(default=None, doc="how big deltas may be")
    enabled: bool | None = arg(default=None, doc="use it")
    enablegroups: bool | None = arg(default=None, doc="use its groups")
    exclude: list[str] | None = arg(default=None, aliases=("excludepkgs",), doc="packages that are not taken from it")
    failovermethod: Literal["roundrobin", "priority"] | None = arg(default=None, doc="which address comes first")
    gpgcakey: str | None = arg(default=None, doc="where the key of its authority is")
    gpgcheck: bool | None = arg(default=None, doc="check the packages' signatures")
    gpgkey: list[str] | None = arg(default=None, doc="where its keys are")
    http_caching: Literal["all", "packages", "none"] | None = arg(default=None, doc="what proxies may keep")
    include: str | None = arg(default=None, doc="another file of settings")
    includepkgs: list[str] | None = arg(default=None, doc="the only packages that are taken from it")
    ip_resolve: Literal["4", "6", "IPv4", "IPv6", "whatever"] | None = arg(default=None, doc="kind of addresses")
    keepalive: bool | None = arg(default=None, doc="keep connections")
    keepcache: Literal["0", "1"] | None = arg(default=None, doc="keep packages that are installed")
    metadata_expire: str | None = arg(default=None, doc="seconds for which metadata is good")
    metadata_expire_filter: Literal["never", "read-only:past", "read-only:present", "read-only:future"] | None = arg(
        default=None, doc="when older metadata does"
    )
    mirrorlist_expire: str | None = arg(default=None, doc="seconds for which the list of mirrors is good")
    module_hotfixes: bool | None = arg(default=None, doc="take its packages whatever a module says")
    password: str | None = arg(default=None, no_log=True, doc="password for it")
    priority: str | None = arg(default=None, doc="1 to 99, lower ones are asked first")
    protect: bool | None = arg(default=None, doc="keep its packages from others'")
    proxy: str | None = arg(default=None, doc="address of the proxy")
    proxy_password: str | None = arg(default=None, no_log=True, doc="password for the proxy")
    proxy_username: str | None = arg(default=None, doc="name for the proxy")
    repo_gpgcheck: bool | None = arg(default=None, doc="check the signature of the metadata")
    retries: str | None = arg(default=None, doc="how often a download is tried again")
    s3_enabled: bool | None = arg(default=None, doc="it is on S3")
    skip_if_unavailable: bool | None = arg(default=None, doc="go on without it when it can't be reached")
    ssl_check_cert_permissions: bool | None = arg(default=None, doc="look at the permissions of certificates")
    sslcacert: str | None = arg(default=None, aliases=("ca_cert",), doc="folder of certificates of authorities")
    sslclientcert: str | None = arg(default=None, aliases=("client_cert",), doc="certificate to show")
    sslclientkey: str | None = arg(default=None, aliases=("client_key",), doc="its key")
    sslverify: bool | None = arg(default=None, aliases=("validate_certs",), doc="check the server's certificate")
    throttle: str | None = arg(default=None, doc="bytes a second, or percent, to use")
    timeout: str | None = arg(default=None, doc="seconds to wait for a connection")
    ui_repoid_vars: str | None = arg(default=None, doc="variables that are shown with the id")
    username: str | None = arg(default=None, doc="name for it")


def plan(args: Args, context: Context) -> Plan:
    """Compare the repository's section with what is asked."""
    if args.state == "present":
        if not (args.baseurl or args.mirrorlist or args.metalink):
            raise ModuleError("state is present but any of the following are missing: baseurl, mirrorlist, metalink")
        if args.description is None:
            raise ModuleError("state is present but all of the following are missing: description")
    if not Path(args.reposdir).is_dir():
        raise ModuleError(f"Repo directory '{args.reposdir}' does not exist.")
    path = f"{args.reposdir}/{args.file or args.name}.repo"
    before = _read(path)
    after = _read(path)
    after.remove_section(args.name)
    if args.state == "present":
        _add(after, args)
    diff = Diff(shown(before), shown(after), path, path)
    # The stock module shows it whether a task asks for it or not.
    values: JsonObject = {"repo": args.name, "state": args.state, "diff": diff.as_json()}
    if deprecations := _deprecations(args):
        values["deprecations"] = deprecations
    if diff.before != diff.after:
        return Change(values=values, apply=partial(_write, path, args, after))
    attributes = plan_attributes(path, args) if args.state == "present" else AttributeChange()
    if attributes:
        return Change(values=values, apply=attributes.apply)
    return Unchanged(values=values)


def _read(path: str) -> configparser.RawConfigParser:
    try:
        text = Path(path).read_text(encoding="utf-8") if lstat(path) is not None else ""
        return parse(text, path)
    except (OSError, ValueError, configparser.Error) as error:
        raise ModuleError(f"Problems handling file '{path}'.", cause=str(error), details=str(error)) from error


def parse(text: str, path: str = "<text>") -> configparser.RawConfigParser:
    """Return a file of repositories. configparser.Error when it is none."""
    parser = configparser.RawConfigParser()
    parser.read_string(text, path)
    return parser


def _add(parser: configparser.RawConfigParser, args: Args) -> None:
    try:
        parser.add_section(args.name)
    except ValueError as error:
        raise ModuleError(f"yum_repository: no repository can be called {args.name}") from error
    options: dict[str, str] = {"name": str(args.description)}
    for item in dataclasses.fields(args):
        value = getattr(args, item.name)
        name = item.name.removesuffix("_")
        if value is None or name in _NOT_OPTIONS or item.name in _SHARED:
            continue
        if isinstance(value, list):
            value = (" " if name in ("exclude", "includepkgs") else "\n").join(value)
        options[name] = str(int(value)) if isinstance(value, bool) else str(value)
    for name in sorted(options):
        parser.set(args.name, name, options[name])


def shown(parser: configparser.RawConfigParser) -> str:
    """Return a file of repositories with all that it has in order, for a diff."""
    text = ""
    for section in sorted(parser.sections()):
        lines = [f"{name} = {value}\n" for name, value in sorted(parser.items(section))]
        text += f"[{section}]\n{''.join(lines)}\n"
    return text


def _deprecations(args: Args) -> list[JsonValue]:
    return [
        {"msg": f"'{name}' parameter is deprecated as {reason}", "version": version}
        for name, (reason, version) in _DEPRECATED.items()
        if getattr(args, f"{name}_" if iskeyword(name) else name) is not None
    ]


def _write(path: str, args: Args, parser: configparser.RawConfigParser) -> None:
    if not parser.sections():
        Path(path).unlink(missing_ok=True)
        return
    text = io.StringIO()
    parser.write(text)
    if not Path(path).parent.is_dir():
        cause = f"[Errno 2] No such file or directory: '{path}'"
        raise ModuleError(f"Problems handling file '{path}'.", cause=cause, details=cause)
    with beside(path) as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")
        replace(temporary, path, args)


MODULE = Module(name="yum_repository", args=Args, plan=plan)
