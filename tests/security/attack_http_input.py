"""Malformed requests: none may end or hang the server, or get an internal error."""
import gzip
import json
import random

import harness
from harness import TOKENS, attack, check, equal, product, project, raw, request, serve, stack

JSON = b"content-type: application/json\r\n"
POSTS = ("/v1/validate", "/v2/validate", "/v1/provision", "/v1/unprovision", "/v1/updateacl", "/v1/reverse-provisioning",
         "/api/v1/plans", "/api/v1/drift", "/one/v1/provision", "/datamesh.specificprovisioner/v1/provision",
         "/api/v1/plans/x/apply", "/api/v1/operations/x/cancel")
GETS = ("/v1/provision/{}/status", "/v2/validate/{}/status", "/v1/reverse-provisioning/{}/status", "/api/v1/plans/{}",
        "/api/v1/operations/{}", "/api/v1/operations/{}/logs", "/api/v1/operations/{}/events",
        "/api/v1/stacks/{}/components", "/api/v1/stacks/{}/resources", "/api/v1/stacks/{}/history/{}",
        "/api/v1/stacks/{}/drift", "/api/v1/environments/{}/blueprints", "/api/v1/environments/{}/providers",
        "/api/v1/stacks/{}/components/{}/acl", "/databases/{}", "/databases/{}/table?table={}", "/docs/{}", "/{}")
UNKNOWN = "018f0000-0000-7000-8000-000000000000"


def server(name):
    return serve(project(name, server="prefixes: [/one]\ntimeout: 20s\nbodyLimit: 2MB"))


class Shots:
    """Sends requests and keeps those with a wrong answer."""

    def __init__(self, to):
        self.to, self.count, self.wrong = to, 0, []

    def send(self, name, data, half=False):
        status, answer = raw(self.to.port, data, half=half)
        self.count += 1
        # 503 is the answer of a busy server, 501 that of HTTP to unknown methods.
        if status >= 500 and status not in (501, 503):
            self.wrong.append((name, status, answer[:200]))
        return status

    def end(self):
        self.to.check_healthy()
        check(not self.wrong, f"{len(self.wrong)} of {self.count} requests were answered by an error of the server", self.wrong[:3])


def described(text, **more):
    return json.dumps({"descriptor": text, **more}).encode()


def bodies():
    good = product()
    yield from (b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"x"', b"true", b'{"descriptor":', b'{"descriptor": 1}',
                b'{"descriptor": null}', b'{"descriptor": ""}', b'{"descriptor": "a: b: c"}', b'{"descriptor": "\\u0000"}',
                b'{"descriptor": "\\ud800"}', b'\xff\xfe{"a":1}', b"\xef\xbb\xbf{}", b'{"descriptor": "\xff"}',
                gzip.compress(b"{}"), b'{"descriptor": "x", "descriptor": "y"}', b"{'a':1}", b'{"a":1,}', b"NaN",
                b'{"a": 1e999999}', b"[" * 200, b"[" * 100_000, b'{"a":' * 50_000)
    yield from map(described, ("[" * 100_000, "{a: " * 5_000, "- " * 50_000, "? " * 30_000,
                               "a: !!binary x\nb: !<tag:yaml.org,2002:python/object/apply:os.system> [id]",
                               "%YAML 9.9\n---\na: b\n---\nc: d\n", good.replace("production", "../../etc"),
                               good.replace("name: prod", 'name: "../../../x"'), good.replace("name: c", "name: ../c"),
                               good.replace("t0, t1", ", ".join(f"t{at}" for at in range(200))),
                               good.replace("t0, t1", '"x\'; DROP TABLE t; --", "x\\"; DROP TABLE t; --", "sqlite_master"')))
    # Nine times nine times nine …: aliases that grow.
    aliases = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + at)}: &{chr(98 + at)} [{','.join(['*' + chr(97 + at)] * 9)}]\n" for at in range(9))
    yield described(aliases)
    yield described(good, latestEnrichedDescriptor="[" * 1_000)
    yield described(good, descriptorKind="X" * 10_000)
    yield described(good, destroy=True, remove_data=True, components=["../x"], allow_data_loss=["*", 'a/b.c["\0"]'])
    yield described(good, variables={"a" * 5_000: {"b": 1}})
    for refs in (["user:" + "x" * 100_000], ["nobody"], ["user:a\0b"], [None], [["user:a"]]):
        yield json.dumps({"refs": refs, "provisionInfo": {"request": good}}).encode()
    yield json.dumps({"refs": [], "provisionInfo": {"request": good}, "accessControlFields": nested(90)}).encode()
    yield json.dumps({"useCaseTemplateId": "urn:dmb:utm:snowflake-storage-template", "environment": "production",
                      "params": {"database": "../../x", "schema": "a", "tables": ["b"]}, "catalogInfo": {}}).encode()
    for name in ("a@b@c", "\0"):
        yield json.dumps({"stack": name}).encode()
    yield b"x" * 1_999_999
    yield b'{"descriptor": "' + b"y" * 1_900_000 + b'"}'


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@attack()
def bodies_of_every_kind():
    """Bodies that are not JSON, not a descriptor, or a bomb."""
    shots = Shots(server("bodies"))
    for path in POSTS:
        for at, body in enumerate(bodies()):
            if len(body) > 20_000 and path not in ("/v1/validate", "/api/v1/plans"):
                continue
            shots.send(f"POST {path} body {at}", request("POST", path, body, JSON))
    shots.end()


@attack()
def paths_and_queries():
    """Ids and queries with traversal, control characters and bytes that are not text."""
    ids = ("", "x", UNKNOWN, "..", "%2e%2e", "%00", "%ff", "%", "%zz", "a%2fb", "a@b", "%C0%AE", "x" * 5_000,
           "..%2f..%2f..%2fetc%2fpasswd", "....//....//etc/passwd", "%F0%9F%92%A9", "a;b", "a?b=c", "a#b", "*", "'",
           '"%22', "<script>", "\\..\\..", "{}", "-1", "%0d%0aset-cookie:a=b")
    shots = Shots(server("paths"))
    for path in GETS:
        for one in ids:
            data = request("GET", path.replace("{}", one))
            status, answer = raw(shots.to.port, data)
            shots.count += 1
            check(b"root:x:" not in answer and b"\r\nset-cookie" not in answer.lower(), "a path led out", data[:100], answer[:200])
            check(status < 500 or status == 503, "an error of the server", data[:100], answer[:200])
    queries = ("limit=0", "limit=-1", "limit=99999999999999999999", "limit=a", "after=x", "after=%00", "after=%ff", "stack=a",
               "stack=%00@b", "status=x", "foo=bar", "limit=1&limit=2", "&" * 5_000, "a=" + "b" * 8_000, "%")
    for path in ("operations", "stacks", "leases", "drift", "environments"):
        for query in queries:
            shots.send(f"{path}?{query[:20]}", request("GET", f"/api/v1/{path}?{query}"))
    shots.end()


@attack()
def verbs_and_targets():
    """Methods and targets that HTTP knows, or does not."""
    shots = Shots(server("verbs"))
    verbs = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G" * 300, "A\0B", "POST\t", "")
    targets = ("/v1/provision", "/api/v1/plans", "/api/v1/stacks/a@b/components/c/acl", "/health", "/metrics", "/docs/", "/",
               "*", "http://evil.example/v1/provision", "//v1/provision", "/v1/provision/")
    for verb in verbs:
        for target in targets:
            shots.send(f"{verb[:10]} {target}", request(verb, target, b"{}", JSON))
    shots.end()


@attack()
def headers_of_every_kind():
    """Lengths that contradict each other, headers that are too many, too long, or no headers."""
    shots = Shots(server("headers"))
    lengths = (b"content-length: -1\r\n", b"content-length: 99999999999999999999\r\n",
               b"content-length: 5\r\ncontent-length: 6\r\n", b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
               b"transfer-encoding: chunked, chunked\r\n", b"transfer-encoding: gzip\r\n", b"transfer-encoding: \x0bchunked\r\n")
    others = (b"expect: x\r\n", b"idempotency-key: \r\n", b"idempotency-key: \xff\r\n",
              b"idempotency-key: " + b"k" * 9_000 + b"\r\n", b"accept: " + b"a/b," * 2_000 + b"\r\n", b"accept: ;;;q=\r\n",
              b"last-event-id: 99999999999999999999999\r\n", b"last-event-id: -1\r\n", b"traceparent: 00-zz\r\n",
              b"tracestate: " + b"a=b," * 2_000 + b"\r\n", b"x-request-id: \x1b[31m\r\n", b"x-request-id: a\xffb\r\n",
              b"host: evil\r\n", b" folded: x\r\n y\r\n", b"nocolon\r\n", b": empty\r\n", b"a\0b: c\r\n", b"a: b\0c\r\n",
              b"a: b\nc: d\r\n", b"content-encoding: gzip\r\n", b"content-type: \xff\r\n", b"range: bytes=0-,5-\r\n",
              b"upgrade: h2c\r\nconnection: upgrade\r\n", b"x: " + b"y" * 70_000 + b"\r\n",
              b"".join(b"h%d: v\r\n" % at for at in range(300)), b"origin: http://evil\r\nsec-fetch-site: cross-site\r\n",
              b"cookie: " + b"a=b; " * 1_500 + b"\r\n")
    for head in lengths + others:
        for method, path, body in (("POST", "/v1/provision", b"{}"), ("GET", "/api/v1/operations", None),
                                   ("GET", f"/api/v1/operations/{UNKNOWN}/events", None)):
            says_length = head in lengths
            data = request(method, path, body, head, length=not says_length)
            shots.send(f"{method} {path} {head[:30]!r}", data, half=says_length)
    check(b"\x1b[31m" not in shots.to.log.read_bytes(), "a header coloured the log")
    shots.end()


@attack()
def garbage():
    """Bytes of no protocol, of another protocol, and requests after each other."""
    shots = Shots(server("garbage"))
    random.seed(7)
    for at in range(100):
        shots.send(f"garbage {at}", random.randbytes(random.randrange(1, 2_000)), half=True)
    for data in (b"\r\n" * 50, b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n", b"GET /\r\n",
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300,
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\xff\0\0\0\0\0" * 20,
                 b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 20):
        shots.send(repr(data[:20]), data, half=True)
    shots.end()


@attack(slow=True)
def mutated_requests():
    """A good request with a few bytes changed, as JSON and within its YAML."""
    shots = Shots(server("mutated"))
    random.seed(11)
    good = described(product(), descriptorKind="DATAPRODUCT_DESCRIPTOR", removeData=False)
    paths = ("/v1/validate", "/v2/validate", "/v1/provision", "/v1/unprovision", "/api/v1/plans")
    for at in range(400):
        shots.send(f"bytes {at}", request("POST", random.choice(paths), mutated(bytearray(good), random_bytes), JSON))
    for at in range(400):
        text = "".join(mutated(list(product()), random_yaml))
        shots.send(f"text {at}", request("POST", random.choice(paths[:3]), described(text), JSON))
    shots.end()


def mutated(sequence, fresh):
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(sequence))
        how = random.randrange(3)
        if how == 0:
            del sequence[at:at + random.randrange(1, 40)]
        elif how == 1:
            sequence[at:at] = fresh()
        else:
            sequence[at:at] = sequence[at:at + 60] * random.randrange(1, 20)
        sequence = sequence or type(sequence)(fresh())
    return bytes(sequence) if isinstance(sequence, bytearray) else sequence


def random_bytes():
    return random.randbytes(random.randrange(1, 8))


def random_yaml():
    return list(random.choice(("{", "}", "[", ",", "&a ", "*a", "!", "|", ">", "'", '"', "%", "@", "`", "#", "\t", "\0", "\u2028",
                               "🙈", "\x1b", "${{ 1/0 }}", "<<: *a", "!!int ", "9" * 400, "\n---\n", "null", "[]", "{}")))


@attack()
def files_outside_of_the_project():
    """Descriptors whose names lead out of the project folder."""
    to = server("outside")
    out = harness.WORK / "escaped"
    before = sorted(harness.WORK.iterdir())
    for folder in (f"../../../../../../../../../..{out}", f"a/../../../escaped", "..", "a\\0b", "${{ settings }}"):
        answer = to.provision(product("outside").replace("folder: outside", f'folder: "{folder}"'))
        if answer.status == 202:
            to.outcome(answer.json if answer.text.startswith('"') else answer.text)
    check(not out.exists(), "a file was made outside of the project", str(out))
    equal(sorted(harness.WORK.iterdir()), before, "files beside the project")
    to.check_healthy()


@attack()
def callers_without_rights():
    """Calls without a token, with a wrong one, with one of too little scope."""
    to = serve(project("callers"))
    headers = (b"", b"authorization: \r\n", b"authorization: Bearer\r\n", b"authorization: Bearer \r\n",
               b"authorization: Basic eDp5\r\n", b"authorization: Bearer " + b"a" * 20_000 + b"\r\n",
               b"authorization: Bearer \xff\r\n", b"authorization: Bearer " + TOKENS["admin"].encode() + b"x\r\n",
               b"authorization: Bearer " + TOKENS["admin"].encode()[:-1] + b"\r\n",
               b"authorization: Bearer x\r\nauthorization: Bearer " + TOKENS["admin"].encode() + b"\r\n",
               b"authorization: Bearer eyJhbGciOiJub25lIn0.eyJyb2xlcyI6WyJhZG1pbiJdfQ.\r\n")
    calls = (("POST", "/v1/provision", described(product())), ("GET", "/api/v1/stacks", None),
             ("DELETE", "/api/v1/leases/x", None), ("POST", "/api/v1/plans", b"{}"), ("POST", "/v1/updateacl", b"{}"))
    for header in headers:
        for method, path, body in calls:
            status, answer = raw(to.port, request(method, path, body, header + JSON, token=None))
            check(status in (400, 401, 403, 431), "a caller was let in", header[:40], method, path, answer[:100])
    for scope, method, path, body in (("read", *calls[0]), ("plan", *calls[0]), ("read", *calls[3]), ("apply", *calls[2]),
                                      ("read", *calls[4]), ("plan", *calls[4])):
        status, answer = raw(to.port, request(method, path, body, JSON, token=scope))
        equal(status, 403, f"{method} {path} with the scope {scope}")
    equal(to.call("GET", "/api/v1/stacks", token="read").json.get("items"), [], "stacks after refused calls")
    to.check_healthy()


@attack()
def stack_by_scope_plan():
    """A plain stack, whose planning runs programs, from a caller with only the scope to plan."""
    to = serve(project("stack-scope", stacks=True))
    ran = to.folder / "ran"
    text = stack("scope", "{type: local_command, name: c, adopt: ifExists, config: {create: [sh, -c, 'echo \"{}\"'], "
                          f"find: [sh, -c, 'touch {ran}; echo null']}}}}")
    for path in ("/api/v1/plans", "/v1/validate", "/v2/validate"):
        answer = to.call("POST", path, {"descriptor": text, "environment": "production"}, token="plan")
        check(answer.status == 403 or not ran.exists(), "planning ran a program", path, answer.status)
    equal(to.call("POST", "/api/v1/plans", {"descriptor": text, "environment": "production"}, token="plan").status, 403,
          "a plan of a stack with the scope plan")
    check(not ran.exists(), "planning ran a program")
    to.check_healthy()
