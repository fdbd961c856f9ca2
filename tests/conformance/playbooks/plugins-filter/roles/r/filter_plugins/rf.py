class FilterModule:
    def filters(self):
        return {"twice": lambda t: t * 2}
