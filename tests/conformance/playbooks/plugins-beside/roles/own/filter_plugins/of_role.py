"""A filter in a role."""


class FilterModule:
    def filters(self):
        return {"of_role": lambda value: ["role", value]}
