"""Static sites and the role mapper: paths that lead out, other hosts, wrong bodies."""
import contextlib
import http.client
import json
import os
import random

from harness import Process, attack, check, equal, free_port, project, raw, serve

VERSION = "018f0000-0000-7000-8000-000000000001"
ROLES_TOKEN = "security-suite-roles-0123456789abcdef0123456789"


def site(folder):
    """A site whose list of files was changed by an attacker: links and names that lead out."""
    root = folder / ".terrace" / "pipelines" / "sites" / "s"
    files = root / "versions" / VERSION
    files.mkdir(parents=True)
    (files / "index.html").write_text("<script>1</script>")
    (files / "unlisted").write_text("not listed")
    os.symlink("/etc/passwd", files / "link")
    os.symlink("../../../../../../terrace.yaml", files / "up")
    size = lambda path: {"size": os.path.getsize(path), "sha256": "0" * 64}
    listed = {"index.html": size(files / "index.html"), "link": size("/etc/passwd"), "up": size(folder / "terrace.yaml"),
              "../../site.json": {"size": 10, "sha256": "0" * 64}}
    plan = {"name": "s", "contentDir": "data", "overlayDir": "public", "errorDocument": "404.html", "cacheControl": "no-cache",
            "renderTo": None}
    (root / "site.json").write_text(json.dumps({"format": 1, "mark": "m", "plan": plan, "version": VERSION, "files": listed}))
    os.symlink(f"versions/{VERSION}", root / "current")


@attack()
def traversal():
    """Paths of sites that lead to other files, through links, dots, codes and line ends."""
    folder = project("sites")
    site(folder)
    port = free_port()
    to = serve(folder, "--sites", f"127.0.0.1:{port}")
    paths = ("/sites/s/", "/sites/s", "/sites/s/link", "/sites/s/up", "/sites/s/unlisted",
             "/sites/s/../../../../../../../etc/passwd", "/sites/s/%2e%2e/%2e%2e/site.json", "/sites/s/..%2f..%2fsite.json",
             "/sites/s/../../site.json", "/sites/../terrace.yaml", "/sites/%2e%2e/%2e%2e/terrace.yaml", "/sites/s%2f..%2f..",
             "/sites//etc/passwd", "/sites/./s/", "/sites/s/%00", "/sites/s/index.html%00.png", "/sites/.hidden/",
             "/sites/s/%c0%ae%c0%ae/x", "/sites/s/\\..\\..\\x", "/sites/s/index.html?x=%0d%0aset-cookie:a",
             "/sites/s?%0d%0aset-cookie:a=b", "/sites//evil.example/..", "/sites/s/" + "a/" * 3_000, "/", "/metrics",
             "/api/v1/stacks", "/databases/")
    for path in paths:
        status, answer = raw(port, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode("latin-1"))
        body = answer.lower()
        leaks = (b"root:x", b"sha256:", b"not listed", b'"format"', b"\r\nset-cookie", b"location: //")
        check(not any(it in body for it in leaks), "a path led out", path[:80], answer[:200])
        # A list of files that does not match the files is an error of the server; their content stays hidden.
        check(status < 500 or path.endswith(("/link", "/up")), "an error of the server", path[:80], status)
    status, _ = raw(port, b"GET /sites/s/ HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
    check(status >= 400, "a foreign host was answered", status)
    to.check_healthy()


@attack()
def role_mapper():
    """Wrong bodies, names similar to that of the administrator, calls without a token."""
    folder = project("roles")
    to = Process(folder, "role-mapper", "--state", "sqlite:roles.db", probe="/v1/ready", env={
        "ROLE_MAPPER_JWT_ISSUER": "http://127.0.0.1:9/x", "ROLE_MAPPER_JWT_AUDIENCE": "a", "ROLE_MAPPER_TOKEN": ROLES_TOKEN})

    def call(method, path, body=None, token=ROLES_TOKEN):
        return to.call(method, path, body, token=token, headers={"content-type": "application/json"})

    random.seed(1)
    bodies = [b"", b"{}", b"[]", b"null", b'{"headers":{}}', b'{"headers":[]}',
              b'{"headers":{"authorization":"Bearer x"}}', b"{" * 5_000, b"\xff",
              b'{"headers":{"authorization":"Bearer ' + b"a" * 100_000 + b'"}}']
    bodies += [random.randbytes(200) for _ in range(30)]
    for body in bodies:
        for method, path in (("POST", "/v1/authenticate"), ("PUT", "/v1/roles"), ("PUT", "/v1/user_roles"), ("PUT", "/v1/group_roles")):
            with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
                answer = call(method, path, body)
                check(answer.status < 500 or answer.status == 503, "an error of the role mapper", path, body[:40], answer.text[:100])
    for name in ("admin", "ADMIN ", "n\0", "\u0430dmin"):
        answer = call("PUT", "/v1/roles", {"role_id": name, "component_id": "c", "graphql_root_field_names": ["a"]})
        check(answer.status >= 400, "a role that is the administrator's, or no name", name)
    for token in (None, "x", ROLES_TOKEN[:-1]):
        equal(call("GET", "/v1/roles", token=token).status, 401, "the roles without the token")
    check(to.process.poll() is None and "panicked" not in to.text, "the role mapper ended", to.text[-300:])
