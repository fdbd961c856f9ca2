"""Tests beside a playbook."""


class TestModule:
    def tests(self):
        return {"between": lambda value, low, high: low <= value <= high}
