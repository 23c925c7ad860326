#!/usr/bin/env python3
"""usage: tests/scale/requests.py TERRACE [PRODUCTS [CHANGED]]

Measures `terrace pr plan` for a pull request that changes some products of a repository: 5 of 500 by default, each with two
components. The forge is a server in this process; no remote system is read.
"""
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

SYSTEM = """kind: System
metadata: {name: sales.NAME.0, description: NAME}
spec:
  type: dataproduct
  owner: group:sales-dev
  domain: domain:sales
  mesh: {dataProductOwner: user:jane.roe_example.com, devGroup: group:sales-dev, email: a@example.com, version: 0.1.0, name: NAME, specific: {}}
"""
COMPONENT = """kind: Component
metadata: {name: sales.NAME.0.PART, description: PART}
spec:
  type: storage
  owner: group:sales-dev
  system: system:sales.NAME.0
  domain: domain:sales
  mesh: {name: PART, description: PART, kind: storage, version: 0.1.0, infrastructureTemplateId: "urn:dmb:itm:terrace:0", useCaseTemplateId: "urn:dmb:utm:bucket-template:0.0.0", dependsOn: [], tags: [], specific: {bucket: NAME-PART}}
"""
BLUEPRINT = """apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: bucket, version: 1.0.0, description: A folder}
match: {useCaseTemplateId: "urn:dmb:utm:bucket-template"}
specific:
  type: object
  properties: {bucket: {type: string}}
resources:
  - type: local_file
    name: settings
    config: {path: '${{ "out/" + component.specific.bucket + "/a.txt" }}', content: x}
"""


class Forge(http.server.BaseHTTPRequestHandler):
    """Answers the calls of one pull request."""

    pull = {}

    def log_message(self, *arguments):
        pass

    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path.endswith("/pulls/1"):
            return self.answer(self.pull)
        if "permission" in self.path:
            return self.answer({"permission": "write", "role_name": "write"})
        return self.answer({"id": 9, "login": "bot"} if self.path.endswith("/user") else [])

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.answer({"id": 1})


def main():
    terrace = os.path.realpath(sys.argv[1])
    given = sys.argv[2:4]
    products, changed = (int(text) for text in given + ["500", "5"][len(given):])
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder) / "work"

        def write(path, text):
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)

        def git(*words):
            own = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]
            return subprocess.run(["git", *own, *words], cwd=work, check=True, capture_output=True, text=True).stdout.strip()

        def component(name, part):
            return COMPONENT.replace("NAME", name).replace("PART", part)

        names = [f"p{number:04}" for number in range(products)]
        for name in names:
            write(f"products/{name}/catalog-info.yaml", SYSTEM.replace("NAME", name))
            for part in ("raw", "clean"):
                write(f"products/{name}/{part}/catalog-info.yaml", component(name, part))
        write("terrace.yaml", "environments: {prod: {overlay: embedded}}\n")
        write("blueprints/bucket.yaml", BLUEPRINT)
        git("init", "--quiet", "--initial-branch=main")
        git("add", "--all")
        git("commit", "--quiet", "--message", "Begin")
        base = git("rev-parse", "HEAD")
        git("checkout", "--quiet", "-b", "feature")
        for name in names[:: max(1, products // changed)][:changed]:
            write(f"products/{name}/raw/catalog-info.yaml", component(name, "raw").replace("bucket: ", "bucket: new-"))
        git("add", "--all")
        git("commit", "--quiet", "--message", "Change")
        head = git("rev-parse", "HEAD")
        repository = {"id": 1}
        Forge.pull = {
            "number": 1, "state": "open", "merged_at": None, "merged": False, "user": {"id": 1, "login": "jane"},
            "head": {"sha": head, "repo": repository}, "base": {"sha": base, "ref": "main", "repo": repository},
        }
        event = pathlib.Path(folder) / "event.json"
        event.write_text(json.dumps({"action": "opened", "pull_request": Forge.pull}))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forge)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = {
            "PATH": os.environ["PATH"], "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/products",
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}", "GITHUB_TOKEN": "token",
            "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(event), "TERRACE_STATE": f"sqlite:{folder}/state.db",
        }
        began = time.monotonic()
        ran = subprocess.run([terrace, "pr", "plan"], cwd=work, env=variables, capture_output=True, text=True)
        took = time.monotonic() - began
        plans = sum(line.startswith("plan ") for line in ran.stdout.splitlines())
        if ran.returncode != 0 or plans != changed:
            sys.exit(f"exit code {ran.returncode}, {plans} plans\n{ran.stdout}{ran.stderr}")
        print(f"{plans} of {products} products planned in {took:.1f} s")


if __name__ == "__main__":
    main()
