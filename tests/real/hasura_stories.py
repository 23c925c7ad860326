"""Stories over the binary, against stand-ins for Hasura and its role mapper, and with terrace's own role mapper:
tests/real/hasura runs them.

usage: hasura_stories.py TERRACE STAND_IN
"""
import base64
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TERRACE, STAND_IN = map(os.path.abspath, sys.argv[1:3])
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = "data-product.yaml"
URL = "jdbc:snowflake://{}/?user=HASURA&password=p%26w&role=HASURA_ROLE&warehouse=WH&db=SHOP_EXAMPLE&schema=ORDERS_0"
HOST = "ab12345.snowflakecomputing.com"
ROLE = "shop_orders_0_graph_role"
FIELDS = ["shop_orders_0_graph_" + name for name in ("select", "by_pk", "aggregate", "stream")]


TOKEN = "t0ken-of-the-mapper"


class Issuer:
    """An issuer of tokens; openssl creates and uses its key."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.key = self.folder / "key.pem"
        self.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        modulus = self.openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().split("=")[1]
        key = {"kty": "RSA", "use": "sig", "kid": "1", "e": "AQAB", "n": self.part(bytes.fromhex(modulus))}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                found = {"/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": self.url + "/keys"},
                         "/keys": {"keys": [key]}}.get(handler.path)
                handler.send_response(200 if found else 404)
                handler.end_headers()
                handler.wfile.write(json.dumps(found).encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def openssl(*words, data=None):
        return subprocess.run(["openssl", *map(str, words)], input=data, check=True, capture_output=True).stdout

    @staticmethod
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def token(self, **claims):
        claims = {"iss": self.url, "aud": "hasura", "exp": int(time.time()) + 600, **claims}
        head = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        text = ".".join(self.part(json.dumps(it).encode()) for it in (head, claims))
        return text + "." + self.part(self.openssl("dgst", "-sha256", "-sign", self.key, data=text.encode()))


class RoleMapper:
    """terrace's own role mapper, with a separate state."""

    def __init__(self, issuer):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.issuer = issuer
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        variables = {"ROLE_MAPPER_JWT_ISSUER": self.issuer.url, "ROLE_MAPPER_JWT_AUDIENCE": "hasura",
                     "ROLE_MAPPER_GROUPS_CLAIM": "groups", "ROLE_MAPPER_TOKEN": TOKEN}
        self.process = subprocess.Popen([TERRACE, "role-mapper", "--bind", self.address], cwd=self.folder, text=True,
                                        env={**kept, **variables, "NO_COLOR": "1"}, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        assert "serving on http://" in line, line
        self.url = line.split("serving on ")[1].split(",")[0]
        self.address = self.url.removeprefix("http://")
        # Reads and drops all other output, so that the pipe does not fill up.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder)


class World:
    """A stand-in, and a project with the product of the example; on request with the older form of descriptors."""

    def __init__(self, mapper="extended", is_existing=False):
        self.own = RoleMapper(ISSUER) if mapper == "own" else None
        self.server = subprocess.Popen(
            [STAND_IN, "--mapper", "extended" if self.own else mapper], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url, self.mapper = (self.server.stdout.readline().strip() for _ in range(2))
        self.mapper = self.own.url if self.own else self.mapper
        self.folder = pathlib.Path(tempfile.mkdtemp())
        for file in (PRODUCT, "terrace.yaml", "README.md"):
            shutil.copy(REPOSITORY / "examples/hasura" / file, self.folder)
        if is_existing:
            # All four root fields had to have names.
            self.edit("      allowAggregations: true\n", f"      selectByPk: {FIELDS[1]}\n      selectStream: {FIELDS[3]}\n")
            self.configure("{hasura: {unserved: leave}}")
        for view in ("OPEN_ORDERS", "OLD_ORDERS"):
            self.post("/test/table", {"database": "SHOP_EXAMPLE", "schema": "ORDERS_0", "name": view, "columns": ["ID", "STATUS"]})
        self.variables = {
            "HASURA_URL": self.url, "HASURA_ADMIN_SECRET": "secret", "ROLE_MAPPER_URL": self.mapper,
            "SNOWFLAKE_HOST": HOST, "SNOWFLAKE_USER": "HASURA", "SNOWFLAKE_PASSWORD": "p&w",
            "SNOWFLAKE_ROLE": "HASURA_ROLE", "SNOWFLAKE_WAREHOUSE": "WH",
            **({"ROLE_MAPPER_TOKEN": TOKEN} if self.own else {}),
        }

    def close(self):
        if self.own:
            self.own.close()
        self.server.stdin.close()
        self.server.wait()
        shutil.rmtree(self.folder)

    def run(self, *words, code=0, says=()):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ran = subprocess.run([TERRACE, *words], cwd=self.folder, env={**kept, **self.variables, "NO_COLOR": "1"},
                             capture_output=True, text=True)
        text = ran.stdout + ran.stderr
        assert code is None or ran.returncode == code, f"{words} ended with {ran.returncode} and not {code}:\n{text}"
        said = " ".join(text.replace("│", " ").split())
        for part in says:
            assert part in said, f"{words} does not print `{part}`:\n{text}"
        assert "p&w" not in text and "p%26w" not in text, f"{words} prints the password:\n{text}"
        return ran

    def plan(self, **more):
        return self.run("plan", PRODUCT, "-c", "graph", **more)

    def apply(self, **more):
        return self.run("apply", PRODUCT, "-c", "graph", "--auto-approve", **more)

    def settled(self):
        self.run("plan", PRODUCT, "-c", "graph", "--detailed-exitcode")

    def edit(self, old, new):
        path = self.folder / PRODUCT
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new))

    def configure(self, settings):
        text = "environments: {development: {settings: " + settings + "}}\n"
        (self.folder / "terrace.yaml").write_text(text)

    def request(self, method, url, body=None, headers=()):
        data = None if body is None else json.dumps(body).encode()
        if self.own and url.startswith(self.mapper):
            headers = {"authorization": "Bearer " + TOKEN, **dict(headers)}
        request = urllib.request.Request(url, data, {"content-type": "application/json", **dict(headers)}, method=method)
        try:
            with urllib.request.urlopen(request) as reply:
                text, status = reply.read().decode(), reply.status
        except urllib.error.HTTPError as error:
            text, status = error.read().decode(), error.code
        return status, json.loads(text) if text else None

    def post(self, path, body):
        return self.request("POST", self.url + path, body)

    def inventory(self):
        lines = self.request("GET", self.url + "/test/inventory")[1]
        # The order of keys does not matter.
        def sorted_keys(line):
            begin, brace, rest = line.partition("{")
            decoded = json.JSONDecoder().raw_decode(brace + rest) if brace and not line.startswith(("role ", "members ")) else None
            return begin + json.dumps(decoded[0], sort_keys=True) + (brace + rest)[decoded[1]:] if decoded else line
        return sorted([sorted_keys(line) for line in lines] + (self.roles() if self.own else []))

    def roles(self):
        """The content of the role mapper, in the form of the stand-in's inventory."""
        def get(path):
            return self.request("GET", self.mapper + path)[1]

        def listed(names):
            return "{" + ", ".join(f'"{name}"' for name in names) + "}"

        lines = []
        for role in get("/v1/roles")["roles"]:
            name = role["role_id"]
            users, groups = get("/v1/user_roles/" + name)["users"], get("/v1/group_roles/" + name)["groups"]
            lines += [f"members {name} {listed(users)} {listed(groups)}",
                      f"role {name} {role['component_id']} {listed(role['graphql_root_field_names'])}"]
        return lines

    def asks(self, user, query, groups=()):
        """The role in the answer to Hasura's authentication request, or the status without a role."""
        token = ISSUER.token(unique_name=user, groups=list(groups))
        sent = {"headers": {"Authorization": "Bearer " + token}, "request": {"query": query, "variables": {"id": 1}}}
        status, body = self.request("POST", self.mapper + "/v1/authenticate", sent)
        return body["X-Hasura-Role"] if status == 200 else status

    def seen(self):
        return self.request("GET", self.url + "/test/seen")[1]

    def writes(self):
        return [it["line"] for it in self.seen() if it["isWrite"]]

    def metadata(self, ty, **args):
        status, reply = self.post("/test/metadata", {"type": ty, "args": args})
        assert status == 200, reply
        return reply

    def existing_service(self):
        """Sends the requests of an existing service for the port, by plain HTTP."""
        headers = {"X-Hasura-Role": "admin", "X-Hasura-Admin-Secret": "secret"}

        def send(ty, **args):
            status, reply = self.request("POST", self.url + "/v1/metadata", {"type": ty, "args": args}, headers)
            assert (status, reply) == (200, {"message": "success"}), (status, reply)

        def put(path, body):
            status, reply = self.request("PUT", self.mapper + path, body)
            assert status == 200, reply

        send("snowflake_add_source", name="shop_orders_0",
             configuration={"fully_qualify_all_names": False, "jdbc_url": URL.format(HOST)})
        roots = dict(zip(("select", "select_by_pk", "select_aggregate"), FIELDS))
        send("snowflake_track_table", source="shop_orders_0", table=["OPEN_ORDERS"],
             configuration={"custom_name": "shop_orders_0_graph_orders", "custom_root_fields": roots,
                            "comment": "Access to the OPEN_ORDERS table in schema ORDERS_0"},
             apollo_federation_config={"enable": "v1"})
        put("/v1/roles", {"role_id": ROLE, "component_id": "urn:dmb:cmp:shop:orders:0:graph",
                          "graphql_root_field_names": FIELDS})
        send("snowflake_create_select_permission", source="shop_orders_0", table=["OPEN_ORDERS"], role=ROLE,
             permission={"columns": "*", "filter": {}, "set": [], "allow_aggregations": False})
        put("/v1/user_roles", {"role_id": ROLE, "users": ["user:old_example.com"]})
        put("/v1/group_roles", {"role_id": ROLE, "groups": ["group:old"]})


def story(of):
    STORIES.append((of.__name__, of))
    return of


def story_of_both(of):
    """A story for both the stand-in role mapper, which exposes everything, and terrace's own."""
    STORIES.append((of.__name__, of))
    STORIES.append((of.__name__ + "_with_the_own_role_mapper", lambda: of("own")))
    return of


STORIES = []
ISSUER = Issuer()


@story_of_both
def the_example_does_what_its_readme_says(mapper="extended"):
    world = World(mapper)
    text = (world.folder / "README.md").read_text()
    most = 0
    for command in text.split("```sh\n")[1].split("```")[0].splitlines():
        world.run(*command.split("#")[0].split()[1:])
        most = max(most, len(world.inventory()))
    assert most == 5 and world.inventory() == [], world.inventory()
    return world


@story_of_both
def a_port_is_made_changed_and_removed_with_all_that_it_has(mapper="extended"):
    world = World(mapper)
    world.plan(says=["4 to add"])
    assert world.inventory() == []
    assert [it["line"] for it in world.seen() if it["isWrite"]] == []
    world.apply(says=["https://graphql.example.com/v1/graphql", FIELDS[0]])
    lines = world.inventory()
    assert lines[2].startswith(f"select shop_orders_0.OPEN_ORDERS {ROLE}"), lines
    assert URL.format(HOST) in lines[3], lines
    world.settled()
    world.run("acl", "set", PRODUCT, "graph", "user:ada_example.com", "group:readers", "--auto-approve")
    members = f'members {ROLE} {{"user:ada_example.com"}} {{"group:readers"}}'
    assert members in world.inventory(), world.inventory()
    world.settled()
    world.run("acl", "set", PRODUCT, "graph", "group:readers", "--auto-approve")
    assert f'members {ROLE} {{}} {{"group:readers"}}' in world.inventory(), world.inventory()
    # Another root field is another name of the same table.
    world.edit("select: shop_orders_0_graph_select", "select: shop_orders_0_graph_orders_of_all")
    world.seen()
    world.apply(says=["0 added, 2 changed, 0 destroyed"])
    writes = ["bulk[snowflake_set_table_customization]"] + ([] if world.own else ["PUT /v1/roles"])
    assert sorted(world.writes()) == sorted(writes), world.inventory()
    world.settled()
    world.run("destroy", PRODUCT, "-c", "graph", "--auto-approve")
    assert world.inventory() == [], world.inventory()
    return world


@story
def refreshing_a_stack_is_one_export():
    world = World()
    world.apply()
    world.seen()
    world.plan()
    metadata = [it["line"] for it in world.seen() if not it["line"].startswith("GET /v1/roles")]
    assert metadata == ["export_metadata"], metadata
    return world


@story_of_both
def what_somebody_changes_is_seen_and_mended(mapper="extended"):
    world = World(mapper)
    world.apply()
    before = world.inventory()
    table = {"source": "shop_orders_0", "table": ["OPEN_ORDERS"]}
    changes = [
        ("snowflake_set_table_customization", {**table, "configuration": {"custom_name": "theirs"}}),
        ("snowflake_drop_select_permission", {**table, "role": ROLE}),
        ("snowflake_untrack_table", table),
        ("snowflake_update_source", {"name": "shop_orders_0", "configuration": {"jdbc_url": URL.format("theirs.example.com"), "fully_qualify_all_names": False}}),
    ]
    for ty, args in changes:
        world.metadata(ty, **args)
        world.run("drift", PRODUCT, code=2)
        world.apply()
        assert world.inventory() == before, (ty, world.inventory())
        world.settled()
    world.request("DELETE", f"{world.mapper}/v1/roles/{ROLE}")
    world.run("drift", PRODUCT, code=2)
    world.apply()
    assert world.inventory() == before, world.inventory()
    # A changed password is no visible drift, but every plan sends it.
    world.variables["SNOWFLAKE_PASSWORD"] = "another"
    world.apply(says=["1 changed"])
    assert "password=another&" in "".join(world.inventory())
    world.settled()
    return world


@story_of_both
def two_ports_share_a_source_that_goes_with_the_last(mapper="extended"):
    world = World(mapper)
    path = world.folder / PRODUCT
    text = path.read_text()
    second = text[text.index("  - id: urn:dmb:cmp:shop:orders:0:graph"):].replace(":graph\n", ":second\n")
    second = second.replace("name: Graph", "name: Second").replace("_graph_", "_second_")
    second = second.replace("dependsOn: [urn:dmb:cmp:shop:orders:0:port]", "dependsOn: [urn:dmb:cmp:shop:orders:0:old]")
    old = text[text.index("  - id: urn:dmb:cmp:shop:orders:0:port"):text.index("  - id: urn:dmb:cmp:shop:orders:0:graph")]
    path.write_text(text + old.replace(":port\n", ":old\n").replace("name: Port", "name: Old").replace("OPEN_ORDERS", "OLD_ORDERS") + second)
    world.run("apply", PRODUCT, "-c", "graph", "-c", "second", "--auto-approve", says=["7 added"])
    assert sum(line.startswith("source ") for line in world.inventory()) == 1
    world.run("destroy", PRODUCT, "-c", "graph", "--auto-approve")
    lines = world.inventory()
    assert len(lines) == 5 and any(line.startswith("source ") for line in lines), lines
    world.run("plan", PRODUCT, "-c", "second", "--detailed-exitcode")
    world.run("destroy", PRODUCT, "-c", "second", "--auto-approve")
    assert world.inventory() == [], world.inventory()
    return world


def moved_over(mapper):
    world = World(mapper, is_existing=True)
    world.existing_service()
    before = world.inventory()
    world.seen()
    world.plan(says=["0 to add, 0 to change, 0 to destroy", "4 adopted"])
    world.apply()
    assert world.writes() == [] and world.inventory() == before
    world.settled()
    # Principals with access keep it until the access list is set.
    world.run("acl", "set", PRODUCT, "graph", "user:new_example.com", "--auto-approve")
    assert f'members {ROLE} {{"user:new_example.com"}} {{}}' in world.inventory(), world.inventory()
    world.run("destroy", PRODUCT, "-c", "graph", "--auto-approve")
    return world


@story_of_both
def what_an_existing_service_made_is_taken_over_without_a_write(mapper="extended"):
    world = moved_over(mapper)
    assert world.inventory() == [], world.inventory()
    return world


@story
def so_it_is_with_the_existing_role_mapper_whose_role_is_left_without_members_and_comes_back():
    world = moved_over("old")
    # It removes no roles.
    component = "urn:dmb:cmp:shop:orders:0:graph"
    assert world.inventory() == [f"members {ROLE} {{}} {{}}", f"role {ROLE} {component} {{}}"], world.inventory()
    world.apply()
    fields = "{" + ", ".join(f'"{name}"' for name in sorted(FIELDS)) + "}"
    assert f"role {ROLE} {component} {fields}" in world.inventory(), world.inventory()
    assert f"members {ROLE} {{}} {{}}" in world.inventory()
    world.settled()
    world.run("plan", PRODUCT, "-c", "graph", "--acl", "user:new_example.com", code=None,
              says=["the members of this role are not readable"])
    return world


@story_of_both
def objects_are_imported_by_their_ids(mapper="extended"):
    world = World(mapper, is_existing=True)
    world.existing_service()
    table = "shop_orders_0/OPEN_ORDERS"
    ids = {
        "shared/hasura_source[\"shop_orders_0\"]": "shop_orders_0", "graph/hasura_table.table": table,
        "graph/hasura_select_permission.permission": f"{table}/{ROLE}", "graph/hasura_role.role": ROLE,
    }
    for address, identity in ids.items():
        if not address.startswith("shared/"):
            world.run("import", "shop.orders.0@development:" + address, identity)
    # An imported port is managed completely: names that the descriptor does not have are removed.
    world.plan(says=["0 to add, 1 to change, 0 to destroy"])
    world.apply()
    world.settled()
    return world


@story
def what_is_wrong_is_told_with_its_place_before_any_call():
    cases = [
        ("select: shop_orders_0_graph_select", "select: orders", ["`orders` does not begin with", "data-product.yaml:"]),
        ("select: shop_orders_0_graph_select", "select: shop_orders_0_graph_se-lect", ["does not fit the pattern"]),
        ("graph_aggregate", "graph_select", ["two root fields are called"]),
        ("      allowAggregations: true\n", "", ["`shop_orders_0_graph_aggregate` cannot be served: `allowAggregations` is not true", "data-product.yaml:"]),
        ("      allowAggregations: true\n", "      selectByPk: shop_orders_0_graph_by_pk\n", ["cannot be served: a view has no primary key", "data-product.yaml:"]),
        ("allowAggregations", "selectStream: shop_orders_0_graph_stream\n      allowAggregations", ["cannot be served: Snowflake streams no rows", "data-product.yaml:"]),
        ("dependsOn: [urn:dmb:cmp:shop:orders:0:port]", "dependsOn: []", ["depends on exactly one other output port"]),
        ("dependsOn: [urn:dmb:cmp:shop:orders:0:port]", "dependsOn: [urn:dmb:cmp:shop:orders:0:gone]", ["is not a component of this product"]),
        ("      customTableName: shop_orders_0_graph_orders\n", "", ["customTableName"]),
        ("name: Orders", "name: Órders", ["give no valid GraphQL name"]),
    ]
    world = World()
    whole = (world.folder / PRODUCT).read_text()
    for old, new, says in cases:
        world.edit(old, new)
        world.plan(code=1, says=says)
        (world.folder / PRODUCT).write_text(whole)
    assert world.seen() == []
    # The plan reports errors that only the server knows, before any change.
    world.metadata("snowflake_add_source", name="theirs", configuration={"jdbc_url": URL.format(HOST)})
    world.metadata("snowflake_track_table", source="theirs", table=["OLD_ORDERS"],
                   configuration={"custom_root_fields": {"select": FIELDS[0]}})
    world.plan(code=1, says=["Hasura already has a root field", f"`{FIELDS[0]}`; the table `OLD_ORDERS` of the source `theirs` has it"])
    world.variables["HASURA_ADMIN_SECRET"] = "wrong"
    world.plan(code=1, says=["Hasura does not let terrace in", "HASURA_ADMIN_SECRET"])
    assert world.writes() == []
    return world


@story
def a_part_that_fails_leaves_nothing_of_itself_and_the_next_run_goes_on():
    world = World()
    world.post("/test/faults", {"text": "snowflake_track_table", "fault": "leavesInconsistent"})
    world.apply(code=3, says=["the agent does not answer", "it was undone"])
    assert [line.split()[0] for line in world.inventory()] == ["members", "role", "source"], world.inventory()
    world.apply()
    world.settled()
    return world


@story
def whatever_call_fails_before_or_after_its_effect_the_next_run_ends_alike():
    calm = World()
    calm.seen()
    calm.post("/test/reset", {})
    calm.apply()
    expected, calls = calm.inventory(), calm.seen()
    calm.close()
    assert len(calls) > 12, calls
    for call in calls:
        for fault in ("fails", "lostAfter"):
            world = World()
            world.post("/test/reset", {})
            world.post("/test/faults", {"number": call["number"], "fault": fault})
            if world.apply(code=None).returncode != 0:
                world.apply()
            world.settled()
            assert world.inventory() == expected, (call, fault, world.inventory())
            world.close()
    return World()


@story
def who_has_a_port_is_let_in_to_it_and_nobody_else():
    world = World("own")
    ask = f"query {{ rows: {FIELDS[0]}(limit: 1) {{ ID }} }}"
    ada = "ada@example.com"
    world.apply()
    assert world.asks(ada, ask) == 401
    world.run("acl", "set", PRODUCT, "graph", "user:ada_example.com", "group:readers", "--auto-approve")
    assert world.asks(ada, ask) == ROLE and world.asks("eve@example.com", ask, ["readers"]) == ROLE
    assert world.asks("eve@example.com", ask) == 401
    hidden = f"query {{ ...F }} fragment F on query_root {{ {FIELDS[0]} {{ ID }} {FIELDS[2]}: others {{ ID }} }}"
    for other in (hidden, ask.replace("query", "mutation"), f"{{ {FIELDS[0]} {{ ID }} __schema {{ types {{ name }} }} }}"):
        assert world.asks(ada, other) == 401, other
    assert world.asks(ada, f"{{ {FIELDS[0]} {{ ID }}") == 400
    # A renamed port is accessible only by its new name.
    world.edit("select: shop_orders_0_graph_select", "select: shop_orders_0_graph_rows")
    world.apply()
    assert world.asks(ada, ask) == 401 and world.asks(ada, "{ shop_orders_0_graph_rows { ID } }") == ROLE
    world.run("acl", "set", PRODUCT, "graph", "group:readers", "--auto-approve")
    assert world.asks(ada, "{ shop_orders_0_graph_rows { ID } }") == 401
    world.run("destroy", PRODUCT, "-c", "graph", "--auto-approve")
    assert world.asks(ada, "{ shop_orders_0_graph_rows { ID } }", ["readers"]) == 401
    # The next port of that name does not restore the old access.
    world.apply()
    assert world.asks(ada, "{ shop_orders_0_graph_rows { ID } }", ["readers"]) == 401
    world.run("destroy", PRODUCT, "-c", "graph", "--auto-approve")
    return world


@story
def a_role_mapper_that_is_away_is_told_and_the_next_run_goes_on():
    world = World("own")
    world.own.kill()
    world.apply(code=1, says=["the role mapper cannot be reached at"])
    assert all("role" not in line.split()[0] for line in world.request("GET", world.url + "/test/inventory")[1])
    world.own.start()
    world.apply()
    world.settled()
    before = world.inventory()
    # Acknowledged changes survive a kill.
    world.own.kill()
    world.own.start()
    assert world.inventory() == before
    world.settled()
    # The token of another caller is refused and changes nothing.
    world.variables["ROLE_MAPPER_TOKEN"] = "another"
    world.run("drift", PRODUCT, code=None, says=["the role mapper does not let terrace in"])
    return world


@story
def a_storm_of_refusals_is_waited_out():
    world = World()
    for _ in range(20):
        world.post("/test/faults", {"fault": "tooMany", "seconds": 0})
    world.apply()
    world.settled()
    return world


for name, it in STORIES:
    if os.environ.get("STORY", "") not in name:
        continue
    try:
        it().close()
    except AssertionError:
        print(f"FAILED {name}", flush=True)
        raise
    print("ok " + name.replace("_", " "), flush=True)
