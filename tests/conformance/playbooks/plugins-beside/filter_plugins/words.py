"""Filters beside a playbook."""


def shout(text, end="!"):
    return text.upper() + end


def broken(_value):
    raise ValueError("it is broken")


class FilterModule:
    def filters(self):
        return {"shout": shout, "broken": broken}
