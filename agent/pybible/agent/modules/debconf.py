"""debconf: answers the questions that Debian's packages ask when they are configured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Diff, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of debconf."""

    name: str = arg(aliases=("pkg",), doc="the package")
    question: str | None = arg(default=None, aliases=("selection", "setting"), doc="what it asks")
    vtype: (
        Literal["boolean", "error", "multiselect", "note", "password", "seen", "select", "string", "text", "title"]
        | None
    ) = arg(default=None, doc="the answer's type")
    value: JsonValue = arg(default=None, aliases=("answer",), raw=True, doc="the answer; a list for `multiselect`")
    unseen: bool = arg(default=False, doc="ask the question all the same, with this answer to begin with")


def plan(args: Args, context: Context) -> Plan:
    """Compare the package's answers with what is asked."""
    answers = _answers(args.name, context)
    unchanged = Unchanged(values={"msg": "", "current": answers})
    if args.question is None:
        return unchanged
    there = args.question in answers
    value = args.value
    if args.vtype == "boolean":
        value = str(value).lower() if str(value).lower() in ("true", "false") else value
    elif args.vtype == "multiselect" and isinstance(value, list):
        value = sorted(map(str, value))
    if there and _is(value, answers[args.question], args, context):
        return unchanged
    shown = value if context.check else _text(value)
    old: JsonObject = {args.question: answers[args.question]} if there else {**answers, args.question: ""}
    new: JsonObject = {**({} if there else answers), args.question: shown}
    values: JsonObject = {"msg": "", "current": {args.question: shown}, "previous": old}
    if not context.diff:
        values["diff"] = {}
    return Change(values=values, diff=Diff(old, new), apply=partial(_answer, args, context, value))


def _answers(package: str, context: Context) -> dict[str, str]:
    done = call([need("debconf-show", context), package], context)
    if done.rc:
        raise ModuleError(done.stderr)
    return parse_answers(done.stdout)


def parse_answers(output: str) -> dict[str, str]:
    """Return question to answer of debconf-show's output, whose lines are `* question: answer` or without the star."""
    answers = {}
    for line in output.split("\n"):
        question, colon, answer = line.partition(":")
        if colon:
            answers[question.strip("*").strip()] = answer.strip()
    return answers


def parse_selections(output: str, question: str) -> str | None:
    """Return a question's answer in debconf-get-selections' output, whose fields stand between tabs."""
    for line in output.split("\n"):
        fields = line.split("\t", 3)
        if len(fields) == 4 and fields[1] == question and not line.startswith("#"):
            return fields[3]
    return None


def _is(value: JsonValue, answer: str, args: Args, context: Context) -> bool:
    if args.vtype == "password":
        # debconf-show does not tell them.
        done = call([need("debconf-get-selections", context)], context)
        return bool(parse_selections(done.stdout, str(args.question)) == value)
    if args.vtype == "boolean":
        return bool(value == answer.lower())
    if args.vtype == "multiselect" and isinstance(value, list):
        return value == sorted(each.strip() for each in answer.split(","))
    return _text(value) == answer


def _text(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        raise ModuleError("debconf: the value of a question can't be a mapping")
    return str(value)


def _answer(args: Args, context: Context, value: JsonValue) -> None:
    text = _text(value)
    if args.vtype != "multiselect" and isinstance(value, list):
        raise ModuleError("debconf: only the answer to a multiselect can be a list")
    if args.vtype == "password":
        text = str(args.value)
    words = [need("debconf-set-selections", context), *(["-u"] if args.unseen else [])]
    done = call(words, context, stdin=f"{args.name} {args.question} {args.vtype} {text}\n")
    if done.rc:
        raise ModuleError(done.stderr)


MODULE = Module(
    name="debconf",
    args=Args,
    plan=plan,
    required_together=(("question", "vtype", "value"),),
)
