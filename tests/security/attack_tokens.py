"""Tokens of an issuer (`mode: oidc`): forged, expired, of another audience, with names that break lines of the log."""
import base64
import functools
import hashlib
import hmac
import http.server
import json
import random
import threading
import time

from harness import attack, check, equal, product, project, serve, terrace

SECRET = b"secret-secret-secret-secret-1234"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


SMALL = [number for number in range(3, 8_000, 2) if all(number % other for other in range(3, int(number ** 0.5) + 1, 2))]


def is_prime(number):
    if any(number % small == 0 for small in SMALL):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    # A key for a test: a few rounds are enough.
    for _ in range(4):
        value = pow(random.randrange(2, number - 1), odd, number)
        if value in (1, number - 1):
            continue
        if not any((value := value * value % number) == number - 1 for _ in range(twos - 1)):
            return False
    return True


class Key:
    """An RSA key for a test: the standard library cannot generate one."""

    def __init__(self, seed):
        random.seed(seed)
        primes = []
        while len(primes) < 2:
            candidate = random.getrandbits(1024) | 1 | 3 << 1022
            if candidate % 65537 != 1 and is_prime(candidate):
                primes.append(candidate)
        self.modulus = primes[0] * primes[1]
        self.private = pow(65537, -1, (primes[0] - 1) * (primes[1] - 1))

    def public(self, kid):
        return {"kty": "RSA", "kid": kid, "use": "sig", "e": "AQAB", "n": base64url(self.modulus.to_bytes(256, "big"))}

    def sign(self, text):
        digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text).digest()
        padded = b"\0\1" + b"\xff" * (253 - len(digest)) + b"\0" + digest
        return pow(int.from_bytes(padded, "big"), self.private, self.modulus).to_bytes(256, "big")


@functools.cache
def keys():
    """Two keys, generated once: finding primes takes a while."""
    return Key(1), Key(2)


class Issuer:
    """An issuer of tokens on the loopback interface."""

    def __init__(self):
        self.key, self.other, self.asked = *keys(), 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if "openid" in self.path:
                    body = {"issuer": issuer.url, "jwks_uri": f"{issuer.base}/keys"}
                else:
                    issuer.asked += 1
                    oct_key = {"kty": "oct", "kid": "oct1", "k": base64url(SECRET)}
                    body = {"keys": [issuer.key.public("k1"), oct_key]}
                text = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.url = f"{self.base}/realm"

    def claims(self, **changed):
        known = {"iss": self.url, "aud": "terrace", "exp": int(time.time()) + 600, "sub": "u1",
                 "preferred_username": "ann", "roles": ["eng"], **changed}
        return {name: value for name, value in known.items() if value is not ...}

    def token(self, claims=None, head=None, sign=None, payload=None):
        head = {"alg": "RS256", "kid": "k1", "typ": "JWT"} if head is None else head
        payload = json.dumps(self.claims() if claims is None else claims).encode() if payload is None else payload
        text = f"{base64url(json.dumps(head).encode())}.{base64url(payload)}"
        return f"{text}.{base64url((sign or self.key.sign)(text.encode()))}"


def server(name):
    issuer = Issuer()
    auth = f'{{mode: oidc, issuer: "{issuer.url}", audience: terrace, roles: {{eng: apply, boss: admin, all: read}}}}'
    return issuer, serve(project(name, auth=auth))


@attack()
def forged_and_stale_tokens():
    """Keys, algorithms, times, issuers, audiences and roles that do not match."""
    issuer, to = server("forged")
    now = int(time.time())
    head = lambda **more: {"alg": "RS256", "kid": "k1", "typ": "JWT", **more}
    claims = issuer.claims
    public = json.dumps(issuer.key.public("k1")).encode()
    mac = lambda secret: lambda text: hmac.new(secret, text, hashlib.sha256).digest()
    none = lambda _: b""
    doubled = json.dumps(claims()).encode()[:-1] + b', "aud": "x"}'
    cases = {
        "good": (issuer.token(), 200),
        "no kid": (issuer.token(head={"alg": "RS256"}), 200),
        "several audiences": (issuer.token(claims(aud=["x", "terrace"])), 200),
        "other key": (issuer.token(sign=issuer.other.sign), 401),
        "alg none": (issuer.token(head=head(alg="none"), sign=none), 401),
        "no signature": (issuer.token(sign=none), 401),
        "HS256 by the public key": (issuer.token(head=head(alg="HS256"), sign=mac(public)), 401),
        "HS256 by a key of the issuer": (issuer.token(head=head(alg="HS256", kid="oct1"), sign=mac(SECRET)), 401),
        "unknown kid": (issuer.token(head=head(kid="zzz")), 401),
        "kid as a path": (issuer.token(head=head(kid="../../etc/passwd")), 401),
        "key in the head": (issuer.token(head=head(kid="x", jwk=issuer.other.public("x")), sign=issuer.other.sign), 401),
        "address in the head": (issuer.token(head=head(kid="x", jku="http://evil.example/keys")), 401),
        "critical extension": (issuer.token(head=head(crit=["b64"], b64=False)), 401),
        "expired": (issuer.token(claims(exp=now - 7_200)), 401),
        "no end": (issuer.token(claims(exp=...)), 401),
        "end as text": (issuer.token(claims(exp="9999999999")), 401),
        "end before 1970": (issuer.token(claims(exp=-1)), 401),
        "not yet valid": (issuer.token(claims(nbf=now + 3_600)), 401),
        "other issuer": (issuer.token(claims(iss="http://evil.example")), 401),
        "issuer with a slash": (issuer.token(claims(iss=issuer.url + "/")), 401),
        "no issuer": (issuer.token(claims(iss=...)), 401),
        "other audience": (issuer.token(claims(aud="x")), 401),
        "no audience": (issuer.token(claims(aud=...)), 401),
        "audience as a map": (issuer.token(claims(aud={"terrace": 1})), 401),
        "a claim twice": (issuer.token(payload=doubled), 401),
        "claims as a list": (issuer.token(payload=b"[]"), 401),
        "no roles": (issuer.token(claims(roles=...)), 403),
        "roles in a list of lists": (issuer.token(claims(roles=[["eng"]])), 403),
        "roles as a map": (issuer.token(claims(roles={"eng": True})), 403),
        "role in other letters": (issuer.token(claims(roles=["ENG"])), 403),
        "two parts": ("a.b", 401),
        "dots": ("....", 401),
        "long kid": (issuer.token(head=head(kid="k" * 6_000)), 401),
    }
    for name, (token, expected) in cases.items():
        equal(to.call("GET", "/api/v1/stacks", token=token).status, expected, name)
    equal(to.call("DELETE", "/api/v1/leases/x", token=issuer.token()).status, 403, "scope apply takes a lease away")
    reader = issuer.token(claims(roles=["all"]))
    equal(to.call("POST", "/v1/provision", {"descriptor": "x"}, token=reader).status, 403, "scope read provisions")
    to.check_healthy()


@attack()
def flood_of_unknown_keys():
    """Tokens with unknown keys: the server does not call the issuer for each, and good callers do not wait."""
    issuer, to = server("flood")
    good = issuer.token()
    equal(to.call("GET", "/api/v1/stacks", token=good).status, 200, "a good token")
    before = issuer.asked
    forged = [issuer.token(head={"alg": "RS256", "kid": f"f{at}"}, sign=lambda _: b"x" * 256) for at in range(50)]
    end = time.monotonic() + 4

    def flood():
        at = 0
        while time.monotonic() < end:
            to.call("GET", "/api/v1/stacks", token=forged[at % 50])
            at += 1

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        equal(to.call("GET", "/api/v1/stacks", token=good, limit=20).status, 200, "a good token in the flood")
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    check(issuer.asked - before <= 5, "the issuer was flooded", issuer.asked - before)
    to.check_healthy()


@attack()
def names_that_break_lines():
    """A caller whose name contains line ends and terminal sequences."""
    issuer, to = server("names")
    evil = "ann\n2026-01-01 ERROR forged line\x1b[31mRED\x1b]0;title\x07"
    token = issuer.token(issuer.claims(preferred_username=evil, roles=["boss"]))
    answer = to.call("POST", "/v1/provision", {"descriptorKind": "DATAPRODUCT_DESCRIPTOR", "descriptor": product("named")}, token=token)
    if answer.status == 202:
        to_wait = answer.json if answer.text.startswith('"') else answer.text
        end = time.monotonic() + 60
        while to.call("GET", f"/v1/provision/{to_wait}/status", token=token).json["status"] == "RUNNING" and time.monotonic() < end:
            time.sleep(0.05)
    listed = terrace(to.folder, "operations", "list")
    for where, text in (("the list of operations", listed.out), ("the log", to.text)):
        check("\x1b" not in text and "\x07" not in text, f"{where} holds a terminal sequence", text[-300:])
        check(not any(line.startswith("2026-01-01 ERROR") for line in text.splitlines()), f"{where} has a forged line")
    to.check_healthy()
