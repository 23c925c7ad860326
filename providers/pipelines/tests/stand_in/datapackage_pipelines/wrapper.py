"""The stream between steps, as `datapackage_pipelines.wrapper` reads and writes it."""
import gzip
import json
import os
import sys


def ingest():
    print(sys.stdin.readline().strip())
    package = json.loads(sys.stdin.readline())
    sys.stdin.readline()
    return json.loads(sys.argv[2]), package, [rows() for resource in package["resources"] if resource.get("dpp:streaming")]


def rows():
    for line in iter(sys.stdin.readline, ""):
        if not line.strip():
            return
        yield json.loads(line)


def spew(package, resources, stats=None):
    files = [sys.stdout]
    if sys.argv[4]:
        os.makedirs(".cache", exist_ok=True)
        kept = os.path.join(".cache", sys.argv[4])
        files.append(gzip.open(kept + ".ongoing", "wt"))

    def write(text):
        for file in files:
            file.write(text)

    write(json.dumps(package) + "\n")
    for resource in resources:
        write("\n")
        for row in resource:
            write(json.dumps(row) + "\n")
    before = {} if sys.argv[1] == "0" else json.loads(sys.stdin.readline() or "{}")
    before.update(stats or {})
    write("\n" + json.dumps(before, sort_keys=True) + "\n")
    sys.stdout.flush()
    if sys.argv[4]:
        files[1].close()
        os.rename(kept + ".ongoing", kept)
