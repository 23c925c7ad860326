"""Asks the plugin of a source spec for its pipelines. The source comes as JSON; the result is one JSON object.

Follows dpp (specs/parsers/source_spec_pipeline.py), except that the output of a plugin goes to stderr, not into the result.
"""
import importlib
import importlib.util
import os
import sys

answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
try:
    from datapackage_pipelines.utilities.extended_json import json
except ImportError:
    import json

MODULE, FOLDER, BASE = sys.argv[1:4]
DEEPEST = 8


def tell(**said):
    answer.write(json.dumps(said))
    answer.close()
    os._exit(0)


def exact(value):
    """Writes numbers that JSON lacks as an object with a reserved key: see spec/yaml/number.rs."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"\0number": json.dumps(value)}
    if isinstance(value, int) and not isinstance(value, bool) and not -2 ** 63 <= value < 2 ** 63:
        return {"\0number": str(value)}
    return value


def wrong(generator, source):
    if generator.internal_validate(source):
        return []
    try:
        import jsonschema
        schema = generator.get_schema()
        errors = jsonschema.validators.validator_for(schema)(schema).iter_errors(source)
        told = [["/".join(map(str, error.absolute_path)), error.message] for error in errors]
    except ImportError:
        told = []
    return told[:20] or [["", "it does not say why"]]


def expand(module, source, depth):
    name = "datapackage_pipelines_" + module
    if importlib.util.find_spec(name) is None:
        tell(missing=name)
    plugin = importlib.import_module(name)
    if not hasattr(plugin, "Generator"):
        tell(lacking=name)
    generator = plugin.Generator()
    problems = wrong(generator, source)
    if problems:
        tell(invalid=problems)
    for name, details in generator.internal_generate(source, BASE):
        if len(name) > 2 and name[0] == ":" and name[-1] == ":":
            if depth == DEEPEST:
                raise RecursionError("plugins that call plugins")
            yield from expand(name[1:-1], details, depth + 1)
        else:
            yield [name, details.get("__path", FOLDER), exact(details)]


try:
    made = list(expand(MODULE, json.loads(sys.stdin.read()), 0))
except Exception as error:
    import traceback
    traceback.print_exc()
    tell(failed="%s: %s" % (type(error).__name__, error))
tell(pipelines=made)
