"""Base class of plugins, like `datapackage_pipelines.generators`, but without validation of schemas."""


class GeneratorBase:
    def internal_validate(self, source):
        return isinstance(source, dict) and all("rows" in it for it in source.values())

    def internal_generate(self, source, base):
        return self.generate_pipeline(source, base) if self.internal_validate(source) else None


def steps(*arguments):
    return [{"run": it} if isinstance(it, str) else dict(zip(["run", "parameters", "cache"], it)) for it in arguments]
