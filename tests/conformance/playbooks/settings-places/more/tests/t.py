class TestModule:
    def tests(self):
        return {"big": lambda number: number > 3}
