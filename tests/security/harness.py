"""Tools of attacks: projects, servers, raw requests and checks."""
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

TERRACE = ""
WORK = pathlib.Path()
# Test values, which appear nowhere else.
STATE_KEY = "q83vq83vq83vq83vq83vq83vq83vq83vq83vq83vq80="
TOKENS = {scope: f"security-suite-{scope}-0123456789abcdef0123456789" for scope in ("read", "plan", "apply", "admin")}
ATTACKS = []
RUNNING = []


class Breach(Exception):
    """The attack succeeded."""


class Skipped(Exception):
    """This machine cannot run the attack."""


@dataclasses.dataclass
class Attack:
    topic: str
    name: str
    about: str
    is_slow: bool
    run: object


def attack(slow=False):
    """Registers a function as an attack; the first line of its docstring describes the attack."""
    def register(function):
        topic = function.__module__.removeprefix("attack_")
        about = (function.__doc__ or "").strip().splitlines()[0]
        ATTACKS.append(Attack(topic, f"{topic}.{function.__name__}", about, slow, function))
        return function
    return register


def check(condition, message, *details):
    if not condition:
        raise Breach(" ".join([message, *(ascii(it)[:400] for it in details)]))


def equal(found, expected, message):
    check(found == expected, f"{message}: expected {expected!r}, found {found!r}")


# Projects

BLUEPRINT = """apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: note, version: 1.0.0, description: Files and tables}
match: {useCaseTemplateId: "urn:dmb:utm:note-template"}
specific:
  type: object
  required: [folder, topics]
  properties:
    folder: {type: string}
    topics: {type: array, items: {type: string}}
resources:
  - type: sqlite_database
    name: database
    config: {path: "data/${{ stack }}-${{ component.key }}.db"}
  - type: sqlite_table
    name: table
    forEach: ${{ component.specific.topics }}
    config:
      path: ${{ resources.database.path }}
      name: ${{ each.value }}
      columns: [{name: id, type: INTEGER}]
  - type: local_file
    name: page
    forEach: ${{ component.specific.topics }}
    adopt: ifOurs
    config:
      path: ${{ "notes/" + component.specific.folder + "/" + each.value + ".md" }}
      content: ${{ each.value + " of " + stack }}
acl:
  resources:
    - type: local_file
      name: access
      adopt: ifOurs
      config: {path: "acl/${{ stack }}-${{ component.key }}.json", content: "${{ json(acl.principals) }}"}
"""


def project(name, server="", stacks=False, auth=None, environments="production: {overlay: embedded}"):
    """A new project folder; `auth` goes before the tokens of this suite."""
    folder = WORK / name
    (folder / "blueprints").mkdir(parents=True)
    (folder / "blueprints" / "note.yaml").write_text(BLUEPRINT)
    if auth is None:
        digest = lambda text: hashlib.sha256(text.encode()).hexdigest()
        tokens = ", ".join(f"{{name: {scope}, sha256: {digest(text)}, scopes: [{scope}]}}" for scope, text in TOKENS.items())
        auth = f"{{mode: token, tokens: [{tokens}]}}"
    lines = [f"environments: {{{environments}}}", "server:", f"  auth: {auth}", f"  stacks: {str(stacks).lower()}"]
    (folder / "terrace.yaml").write_text("\n".join(lines + [f"  {line}" for line in server.splitlines()]) + "\n")
    return folder


def product(name="prod", topics=2, folder=None, tag=""):
    """A data product of one component."""
    listed = ", ".join(f"t{at}{tag}" for at in range(topics))
    return f"""environment: production
domain: dom
kind: dataproduct
domainId: urn:dmb:dmn:dom
id: urn:dmb:dp:dom:{name}:0
name: {name}
description: d
version: 0.1.0
dataProductOwner: user:a
devGroup: g
ownerGroup: g
email: a@example.com
fullyQualifiedName: {name}
useCaseTemplateId: urn:dmb:utm:p:0.0.0
infrastructureTemplateId: urn:dmb:itm:x:1
billing: {{}}
tags: []
specific: {{}}
components:
  - kind: workload
    id: urn:dmb:cmp:dom:{name}:0:c
    name: c
    version: 0.0.0
    useCaseTemplateId: urn:dmb:utm:note-template.1
    infrastructureTemplateId: urn:dmb:itm:x:1
    dependsOn: []
    tags: []
    specific: {{folder: {folder or name}, topics: [{listed}]}}
"""


def stack(name, *resources, more=""):
    """A plain stack."""
    lines = "".join(f"  - {it}\n" for it in resources)
    return f"apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: {name}}}\n{more}resources:\n{lines or '  []'}\n"


# Programs

def environment(key=True, more=None):
    known = {name: value for name, value in os.environ.items() if not name.startswith(("TERRACE", "OTEL", "SNOWFLAKE"))}
    known["RUST_BACKTRACE"] = "1"
    if key:
        known["TERRACE_STATE_KEY"] = STATE_KEY
    return {**known, **(more or {})}


@dataclasses.dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def text(self):
        return self.out + self.err


def terrace(folder, *arguments, key=True, env=None, limit=60, data=None):
    """Runs a command. A panic or an end by a signal is a breach."""
    try:
        ran = subprocess.run([TERRACE, *arguments], cwd=folder, env=environment(key, env), input=data, timeout=limit,
                             capture_output=True)
    except subprocess.TimeoutExpired:
        raise Breach(f"terrace {' '.join(arguments)} did not end within {limit} s") from None
    ended = Ended(ran.returncode, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace"))
    check(ended.code not in (101,) and ended.code >= 0 and "panicked" not in ended.err,
          f"terrace {' '.join(arguments)} panicked", ended.code, ended.err[-400:])
    return ended


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Process:
    """A server process of terrace. It ends with the attack."""

    def __init__(self, folder, *arguments, port=None, env=None, key=True, probe="/health"):
        self.folder, self.port = folder, port or free_port()
        self.log = folder / "process.log"
        self.file = self.log.open("ab")
        self.process = subprocess.Popen([TERRACE, *arguments, "--bind", f"127.0.0.1:{self.port}"], cwd=folder,
                                        env=environment(key, env), stdout=self.file, stderr=self.file)
        RUNNING.append(self)
        self.wait_until_up(probe)

    def wait_until_up(self, probe, limit=60):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            check(self.process.poll() is None, "the server ended while it started", self.text[-800:])
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.call("GET", probe, token=None, limit=5).status in (200, 401, 404):
                    return
            time.sleep(0.05)
        raise Breach(f"the server did not start within {limit} s")

    def call(self, method, path, body=None, token="admin", headers=None, limit=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)
        sent = {"authorization": f"Bearer {TOKENS.get(token, token)}"} if token else {}
        if isinstance(body, (dict, list)):
            body, sent["content-type"] = json.dumps(body), "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers={**sent, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict((key.lower(), value) for key, value in answer.getheaders()))

    def provision(self, descriptor, **more):
        return self.call("POST", "/v1/provision", {"descriptorKind": "DATAPRODUCT_DESCRIPTOR", "descriptor": descriptor,
                                                   "removeData": False}, **more)

    def outcome(self, token, limit=120):
        """The end of a request."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            answer = self.call("GET", f"/v1/provision/{token}/status")
            if answer.status == 200 and answer.json["status"] not in ("RUNNING", "TERMINATING"):
                return answer.json["status"]
            time.sleep(0.05)
        raise Breach(f"the request {token} did not end within {limit} s")

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    def check_healthy(self):
        check(self.process.poll() is None, "the server ended", self.text[-800:])
        equal(self.call("GET", "/health", token=None, limit=10).status, 200, "health of the server after the attack")
        check("panicked" not in self.text, "the server panicked", self.text[-800:])

    def end(self, how=signal.SIGTERM, limit=60):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(limit)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Breach(f"the server did not end within {limit} s") from None
            finally:
                self.file.close()
        if self in RUNNING:
            RUNNING.remove(self)
        return self.process.returncode


def serve(folder, *arguments, **more):
    return Process(folder, "serve", *arguments, **more)


def end_all():
    for process in list(RUNNING):
        with contextlib.suppress(Breach):
            process.end()


@dataclasses.dataclass
class Answer:
    status: int
    body: bytes
    headers: dict

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode(errors="replace")


# Raw requests

def request(method, path, body=b"", headers=b"", token="admin", length=True):
    """The bytes of a request, which may be malformed."""
    to_bytes = lambda it: it if isinstance(it, bytes) else it.encode("latin-1", "replace")
    head = b"host: localhost\r\n" + to_bytes(headers)
    if token:
        head += b"authorization: Bearer " + TOKENS.get(token, token).encode() + b"\r\n"
    if length and body is not None:
        head += b"content-length: %d\r\n" % len(body)
    return to_bytes(method) + b" " + to_bytes(path) + b" HTTP/1.1\r\n" + head + b"connection: close\r\n\r\n" + (body or b"")


def raw(port, data, limit=30, half=False):
    """Sends bytes and returns the status and the answer; the status is 0 if the server closed without one."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=limit) as connection:
        try:
            connection.sendall(data)
            if half:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            while not is_whole(received):
                part = connection.recv(65536)
                if not part:
                    break
                received += part
        except TimeoutError:
            raise Breach(f"no answer within {limit} s to {data[:80]!r}") from None
        except OSError:
            pass
    status = received.split(b" ", 2)[1] if received.startswith(b"HTTP/") else b"0"
    return int(status), received


def is_whole(received):
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if head[9:12] in (b"204", b"304"):
        return True
    if b"content-length" in fields:
        return len(body) >= int(fields[b"content-length"])
    return body.endswith(b"0\r\n\r\n") if b"transfer-encoding" in fields else False
