"""texts: lookups in files of the control node: file, fileglob, first_found, template, unvault, ini, csvfile, ..."""

from __future__ import annotations

import configparser
import csv
import glob
import re
import secrets
import shlex
import string
from collections.abc import Mapping
from pathlib import Path

from pybible.server.engine.model.notices import deprecated
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.templating.errors import LookupFailed
from pybible.server.engine.templating.filters.passwords import password_hash
from pybible.server.engine.templating.filters.values import as_bool
from pybible.server.engine.templating.lookups.call import Lookup, LookupCall
from pybible.server.engine.templating.search import candidates, find_file
from pybible.server.engine.vault import is_vaulted
from pybible.wire.errors import VaultError

# What a lookup may read of one file.
_FILE_LIMIT = 64 * 1024 * 1024


def flag(call: LookupCall, name: str, default: bool) -> bool:
    """Return a boolean option."""
    value = call.options.get(name, default)
    known = as_bool(value) if isinstance(value, str) else bool(value)
    return default if known is None else known


def _warn_of_missing(call: LookupCall, name: object) -> None:
    call.templar.warn(f"Unable to find '{name}' in expected paths (use -vvvvv to see paths)")


def _read(call: LookupCall, kind: str, name: object) -> bytes:
    path = find_file(call.templar, kind, str(name))
    if path is None:
        raise LookupFailed(
            f"Unable to access the file {str(name)!r}: File not found. Use -vvvvv to see paths searched."
        )
    return _content(call, path)


def _content(call: LookupCall, path: Path) -> bytes:
    try:
        if path.stat().st_size > _FILE_LIMIT:
            raise LookupFailed(f"the file {path} is larger than {_FILE_LIMIT // 1024 // 1024} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise LookupFailed(f"Unable to access the file {str(path)!r}: {error}") from error
    if not is_vaulted(data):
        return data
    vault = call.templar.engine.vault
    if vault is None:
        raise VaultError(f"{path} is vaulted, and no vault secrets were given")
    return vault.decrypt(data)


def _file(call: LookupCall) -> list[object]:
    found: list[object] = []
    for term in call.terms:
        text = _read(call, "files", term).decode("utf-8", "surrogateescape")
        if flag(call, "lstrip", False):
            text = text.lstrip()
        found.append(text.rstrip() if flag(call, "rstrip", True) else text)
    return found


def _unvault(call: LookupCall) -> list[object]:
    found: list[object] = []
    for term in call.terms:
        path = find_file(call.templar, "files", str(term))
        if path is None:
            _warn_of_missing(call, term)
            raise LookupFailed(f'Unable to find file matching "{term}"')
        found.append(_content(call, path).decode("utf-8", "surrogateescape"))
    return found


def _fileglob(call: LookupCall) -> list[object]:
    found: list[object] = []
    for term in call.terms:
        matched: list[str] = []
        for path in candidates(call.templar, "files", str(term)):
            matched = sorted(name for name in glob.glob(str(path)) if Path(name).is_file())  # noqa: PTH207
            if matched:
                break
        found.extend(matched)
    return found


def _names(call: LookupCall, what: str, value: object) -> list[str]:
    splitters = ",;" if what == "files" else ",:;"
    if isinstance(value, list):
        return [name for each in value for name in _names(call, what, each)]
    names = re.split(f"[{splitters}]", str(value))
    if len(names) > 1 and call.loop:
        told = f"Automatic splitting of {what} on {splitters!r} is deprecated."
        hint = f"Provide a list of paths for {what} instead."
        engine = call.templar.engine
        engine.warn(deprecated(told, engine.place, hint=hint, plugin="lookup plugin 'first_found'"))
    return [name for name in names if name]


def _first_found(call: LookupCall) -> list[object]:
    skip = flag(call, "skip", False)
    wanted: list[str] = []

    def add(files: object, paths: object) -> None:
        names, folders = _names(call, "files", files), _names(call, "paths", paths)
        wanted.extend(str(Path(folder) / name) for folder in folders for name in names)
        if not folders:
            wanted.extend(names)

    for term in call.terms:
        if isinstance(term, Mapping):
            add(term.get("files", []), term.get("paths", []))
            skip = bool(term.get("skip", skip))
        elif isinstance(term, list):
            add(term, call.options.get("paths", []))
        else:
            add(str(term), call.options.get("paths", []))
    if "files" in call.options:
        add(call.options["files"], call.options.get("paths", []))
    # In a template ansible-core looks beside the task only; with_first_found knows what kind of file it is for.
    kinds = ("files", "templates", "vars", "tasks") if call.loop else ("",)
    for name in wanted:
        for kind in kinds:
            path = find_file(call.templar, kind, name)
            if path is not None:
                return [str(path)]
    if skip:
        return []
    raise LookupFailed("No file was found when using first_found.")


# Of a template file's options those that the lookup has.
_TEMPLATE_OPTIONS = frozenset(
    {
        "variable_start_string",
        "variable_end_string",
        "comment_start_string",
        "comment_end_string",
        "trim_blocks",
        "lstrip_blocks",
    }
)


def _template(call: LookupCall) -> list[object]:
    # Imported here: rendering files needs the Templar, which needs the lookups.
    from pybible.server.engine.templating import files
    from pybible.server.engine.templating.engine import PLAIN_OPTIONS

    given = {name: value for name, value in call.options.items() if name in _TEMPLATE_OPTIONS}
    extra = call.options.get("template_vars", {})
    templar = call.templar.with_variables(extra) if isinstance(extra, Mapping) and extra else call.templar
    found: list[object] = []
    for term in call.terms:
        path = find_file(templar, "templates", str(term))
        if path is None:
            _warn_of_missing(call, term)
            raise LookupFailed(f"the template file {term} could not be found for the lookup")
        options = files.with_options(PLAIN_OPTIONS, given)
        found.append(files.render_source(templar, files.read_template(path, options)))
    return found


def pairs(term: object, defaults: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Take `key a=b c=d` apart: the words without `=`, and the options over `defaults`."""
    words: list[str] = []
    options = dict(defaults)
    for word in shlex.split(str(term)):
        name, separator, value = word.partition("=")
        if separator and name in options:
            options[name] = value
        else:
            words.append(word)
    return " ".join(words), options


def _ini(call: LookupCall) -> list[object]:
    defaults = {
        "file": "ansible.ini",
        "section": "global",
        "type": "ini",
        "re": False,
        "default": "",
        "encoding": "utf-8",
        "case_sensitive": False,
        "allow_none": False,
        "interpolation": True,
        **call.options,
    }
    found: list[object] = []
    for term in call.terms:
        key, options = pairs(term, defaults)
        text = _read(call, "files", options["file"]).decode(str(options["encoding"]))
        section = str(options["section"])
        if options["type"] == "properties":
            section, text = "java_properties", f"[java_properties]\n{text}"
        parser = configparser.ConfigParser(
            allow_no_value=bool(options["allow_none"]),
            interpolation=configparser.BasicInterpolation() if options["interpolation"] else None,
        )
        if options["case_sensitive"]:
            parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(text)
        if options["re"]:
            if parser.has_section(section):
                found.extend(value for name, value in parser.items(section) if re.match(key, name))
            continue
        if not parser.has_section(section) and section != "DEFAULT":
            raise LookupFailed(f"No section {section!r} in {str(options['file'])!r}.")
        value = parser.get(section, key, fallback=None)
        found.append(options["default"] if value is None else value)
    return found


def _csvfile(call: LookupCall) -> list[object]:
    defaults = {
        "file": "ansible.csv",
        "delimiter": "TAB",
        "col": "1",
        "default": None,
        "encoding": "utf-8",
        "keycol": "0",
    }
    found: list[object] = []
    for term in call.terms:
        key, options = pairs(term, {**defaults, **call.options})
        text = _read(call, "files", options["file"]).decode(str(options["encoding"]))
        delimiter = "\t" if options["delimiter"] in ("TAB", "\t") else str(options["delimiter"])
        rows = csv.reader(text.splitlines(), delimiter=delimiter)
        column, key_column = int(str(options["col"])), int(str(options["keycol"]))
        for row in rows:
            if len(row) > max(column, key_column) and row[key_column] == key:
                found.append(row[column])
                break
        else:
            if options["default"] is not None:
                found.append(options["default"])
    return found


_CHARACTERS = {
    name: getattr(string, name) for name in ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits")
}
_CHARACTERS |= {"hexdigits": string.hexdigits, "octdigits": string.octdigits, "punctuation": string.punctuation}


def _password(call: LookupCall) -> list[object]:
    defaults = {"length": 20, "chars": None, "encrypt": None, "ident": None, "seed": None, **call.options}
    found: list[object] = []
    for term in call.terms:
        name, options = pairs(term, defaults)
        unknown = [word.partition("=")[0] for word in name.split()[1:] if "=" in word]
        if unknown:
            raise LookupFailed(f"Unrecognized parameter(s) given to password lookup: {', '.join(unknown)}")
        path = expanded(name)
        path = path if path.is_absolute() else call.directory / path
        stored = path.read_text().rstrip("\n") if path.is_file() and str(path) != "/dev/null" else ""
        password, _, salt = stored.partition(" salt=")
        if not password:
            password = _new_password(options)
        encrypt = options["encrypt"]
        if encrypt and not salt:
            salt = _random(string.ascii_letters + string.digits, 8 if encrypt == "md5_crypt" else 16)
        content = f"{password} salt={salt}" if encrypt else password
        if content != stored and str(path) != "/dev/null":
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"{content}\n")
        found.append(password_hash(password, str(encrypt), salt=salt) if encrypt else password)
    return found


def _new_password(options: Mapping[str, object]) -> str:
    chosen = options["chars"]
    if chosen is None:
        characters = string.ascii_letters + string.digits + ".,:-_"
    else:
        names = chosen if isinstance(chosen, list) else str(chosen).split(",")
        characters = "".join(_CHARACTERS.get(str(name), str(name)) for name in names)
    if not characters:
        raise LookupFailed("no characters to make a password of")
    if options["seed"] is not None:
        import random

        source = random.Random(str(options["seed"]))  # noqa: S311 - as the operator asks
        return "".join(source.choice(characters) for _ in range(int(str(options["length"]))))
    return _random(characters, int(str(options["length"])))


def _random(characters: str, length: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))


LOOKUPS: Mapping[str, Lookup] = {
    "file": _file,
    "unvault": _unvault,
    "fileglob": _fileglob,
    "first_found": _first_found,
    "template": _template,
    "ini": _ini,
    "csvfile": _csvfile,
    "password": _password,
}
