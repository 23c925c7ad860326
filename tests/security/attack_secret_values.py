"""A sensitive value on its way through commands, a server, a state and a collector of telemetry."""
import base64
import http.server
import json
import os
import stat
import threading
import time
import urllib.parse

from harness import STATE_KEY, TOKENS, attack, check, equal, project, serve, terrace

SECRET = "xK7-hunter2-QzP-9s"
STACK = """apiVersion: terrace.dev/v1
kind: Stack
metadata: {name: NAME}
variables:
  token: {type: string, sensitive: true}
resources:
  - {type: local_file, name: cred, config: {path: NAME/cred, sensitive: true, content: '${{ "t=" + vars.token }}'}}
  - {type: local_value, name: copy, config: {input: '${{ vars.token }}'}}
  - type: local_command
    name: told
    config:
      create: [sh, -c, 'cat >/dev/null; env >NAME/environment; echo "{\\"id\\": \\"x\\"}"']
      secretEnvironment: {TOKEN: '${{ vars.token }}'}
  - type: local_command
    name: fails
    config:
      create: [sh, -c, 'cat; echo "error with $TOKEN in it" >&2; exit 1']
      secretEnvironment: {TOKEN: '${{ vars.token }}'}
outputs:
  token: {value: '${{ resources.copy.output }}', sensitive: true}
"""
# Variables of terrace that programs of a descriptor must not see.
HIDDEN = ("TERRACE_STATE_KEY", "TERRACE_VAR_token", "PGPASSWORD")
ENVIRONMENT = {"TERRACE_VAR_token": SECRET, "TERRACE_LOG": "trace", "PGPASSWORD": f"pg-{SECRET}"}


def forms():
    """The value in all possible spellings."""
    data = SECRET.encode()
    known = [data, data.hex().encode(), data.hex().upper().encode(), urllib.parse.quote(SECRET, safe="").encode()]
    for before in range(3):
        text = base64.b64encode(b"a" * before + data).decode().rstrip("=")
        known.append(text[(0, 2, 3)[before]:-2].encode())
    return known


def is_leaked(data):
    return any(form in (data if isinstance(data, bytes) else data.encode()) for form in forms())


def leaking_files(folder):
    allowed = ("cred", "environment")
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if name not in allowed and os.path.isfile(path):
                with open(path, "rb") as file:
                    if is_leaked(file.read()):
                        yield path


def new_project(name):
    folder = project(name, stacks=True)
    for stack in ("first", "second"):
        (folder / stack).mkdir()
        (folder / f"{stack}.yaml").write_text(STACK.replace("NAME", stack))
    return folder


@attack()
def value_in_commands_and_files():
    """Output of commands, plans, exports, the state, the environment of programs."""
    folder = new_project("secret-commands")
    planned = ["--env", "production"]
    for command in (["validate", "first.yaml", *planned], ["plan", "first.yaml", *planned],
                    ["plan", "first.yaml", *planned, "--json"], ["plan", "first.yaml", *planned, "--format", "markdown"],
                    ["apply", "first.yaml", *planned, "--auto-approve"], ["show"], ["show", "--json"], ["output"],
                    ["state", "show", "local_file.cred"], ["state", "show", "local_command.told", "--json"],
                    ["state", "history", "local_value.copy"], ["state", "export", "--history", "--out", "exported.json"],
                    ["operations", "list"], ["drift", "first.yaml", *planned], ["graph", "first.yaml", *planned],
                    ["console", "first.yaml", *planned, "-e", "vars.token"], ["doctor"]):
        ended = terrace(folder, *command, env=ENVIRONMENT)
        check(not is_leaked(ended.text), f"`{' '.join(command)}` printed the value")
    equal(list(leaking_files(folder)), [], "files that hold the value")
    told = (folder / "first" / "environment").read_text()
    for name in HIDDEN:
        check(f"{name}=" not in told, f"a program of a descriptor sees {name}")
    for path in (".terrace/state.db", "exported.json", "first/cred"):
        if (folder / path).exists():
            mode = stat.S_IMODE((folder / path).stat().st_mode)
            check(mode & 0o077 == 0, f"others of the machine may read {path}", oct(mode))


@attack()
def value_in_the_server():
    """Answers, the log, traces that go to a collector, messages about wrong bodies."""
    received = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(self.rfile.read(int(self.headers.get("content-length", 0))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    folder = new_project("secret-server")
    address = f"http://127.0.0.1:{collector.server_address[1]}"
    to = serve(folder, env={**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "200",
                            "OTEL_BLRP_SCHEDULE_DELAY": "200"})
    text = (folder / "second.yaml").read_text()
    answers = []

    def call(method, path, body=None, **more):
        answer = to.call(method, path, body, **more)
        answers.append((path, answer.body))
        return answer

    planned = call("POST", "/api/v1/plans", {"descriptor": text, "environment": "production", "variables": {"token": SECRET}})
    check(planned.status < 300, "the plan was refused", planned.status, planned.text)
    plan = planned.json["id"]
    applied = call("POST", f"/api/v1/plans/{plan}/apply")
    check(applied.status < 300, "the plan was not applied", applied.status, applied.text)
    operation = applied.json["operation"]
    end = time.monotonic() + 60
    while call("GET", f"/api/v1/operations/{operation}").json.get("status") in ("queued", "running") and time.monotonic() < end:
        time.sleep(0.1)
    stack = "/api/v1/stacks/second@production"
    for path in (f"/api/v1/plans/{plan}", f"/api/v1/operations/{operation}/logs", f"{stack}/resources", f"{stack}/components",
                 f"{stack}/history/local_value.copy", "/metrics", "/ready", "/api/v1/operations"):
        call("GET", path)
    wrong = json.dumps({"descriptor": text, "variables": {"token": SECRET, "nope": SECRET}, "environment": "production"})
    for body in (wrong, wrong[:-1], wrong.replace('"token"', '"tokn"'), json.dumps({"descriptor": SECRET}),
                 json.dumps({SECRET: 1}), json.dumps({"descriptor": 1, "variables": SECRET})):
        call("POST", "/api/v1/plans", body, headers={"content-type": "application/json"})
    leaking = [path for path, body in answers if is_leaked(body)]
    # The server may return a name or a text to the caller that sent it as something else than a value.
    equal([path for path in leaking if path != "/api/v1/plans"], [], "answers that hold the value")
    time.sleep(1)
    to.check_healthy()
    to.end()
    check(not any(map(is_leaked, received)), "a message to the collector holds the value")
    check(not is_leaked(to.text), "the log holds the value")
    for name, value in (("state key", STATE_KEY), ("token", TOKENS["admin"])):
        check(value not in to.text, f"the log holds the {name}")
    equal(list(leaking_files(folder)), [], "files that hold the value")
