class FilterModule:
    def filters(self):
        return {"shout": lambda t: t.upper() + "!", "boom": self.boom}

    def boom(self, value):
        raise ValueError("boom " + value)
