"""Servers for `tests/real/moto.sh`: usage: storage_servers.py FOLDER [ADDRESS CERTIFICATE KEY]

moto (S3) behind a proxy that records requests and injects faults; and a proxy of Google Cloud Storage in front of the same
moto. The second one speaks the XML interface that both services share: it accepts tokens signed by the service account's
key, and Google's names of headers. Their addresses are in FOLDER/servers.json, their requests in FOLDER/asked, and the next
faults in FOLDER/faults: a line each, `METHOD PART-OF-PATH FAULT`, where FAULT is busy, cut or wait. Both proxies listen on this
machine only, or at ADDRESS with TLS.
"""
import base64
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from moto.server import ThreadedMotoServer

folder = sys.argv[1]
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
files = sys.argv[3:]
os.makedirs(folder, exist_ok=True)
lock = threading.Lock()
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ACCOUNT = "terrace@example.iam.gserviceaccount.com"


def write(name, text):
    path = os.path.join(folder, name)
    with open(path + ".partial", "w") as file:
        file.write(text)
    os.rename(path + ".partial", path)


def fault_of(method, path):
    """The fault of the first matching line, which is then removed."""
    place = os.path.join(folder, "faults")
    if not os.path.exists(place):
        return None
    with open(place) as file:
        lines = file.read().splitlines()
    for line in lines:
        of, part, fault = line.split()
        if of == method and part in path:
            lines.remove(line)
            write("faults", "".join(f"{line}\n" for line in lines))
            return fault
    return None


def note(method, path):
    """Records a request, and returns its fault."""
    with lock:
        fault = fault_of(method, path)
        # Last: a script that waits for this request may write further faults at once.
        with open(os.path.join(folder, "asked"), "a") as file:
            file.write(f"{method} {path}\n")
    return fault


def is_signed(token):
    try:
        head, claims, signature = token.split(".")
        decoded = [base64.urlsafe_b64decode(part + "==") for part in (head, claims, signature)]
        signed = f"{head}.{claims}".encode()
        key.public_key().verify(decoded[2], signed, padding.PKCS1v15(), hashes.SHA256())
        return json.loads(decoded[1])["iss"] == ACCOUNT
    except Exception:
        return False


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    is_google = False

    def log_message(self, *_):
        pass

    def refuse(self, status):
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        fault = note(self.command, urllib.parse.unquote(self.path))
        if fault == "busy":
            self.rfile.read(length)
            return self.refuse(503)
        if fault == "cut":
            self.rfile.read(length // 2)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        if fault == "wait":
            while not os.path.exists(os.path.join(folder, "go-on")):
                time.sleep(0.02)
        body = self.rfile.read(length)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        signed = {name.lower(): value for name, value in headers.items()}
        if self.is_google:
            scheme, _, token = signed.get("authorization", "").partition(" ")
            if scheme != "Bearer" or not is_signed(token):
                return self.refuse(401)
            headers = {name.lower().replace("x-goog-", "x-amz-"): value for name, value in headers.items()}
            # moto only checks that a key is present, not that it is correct.
            scope = "Credential=google/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none"
            headers["authorization"] = f"AWS4-HMAC-SHA256 {scope}"
        elif "authorization" in signed:
            # Amazon accepts none of its headers unsigned.
            names = signed["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
            if any(name.startswith("x-amz-") and name not in names for name in signed):
                return self.refuse(403)
        headers["Host"] = f"127.0.0.1:{moto_port}"
        onward = http.client.HTTPConnection("127.0.0.1", moto_port)
        onward.request(self.command, self.path, body, headers)
        response = onward.getresponse()
        content = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        shown = response.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", shown or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer


class GoogleDoor(Door):
    is_google = True


moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
moto.start()
moto_port = moto.get_host_and_port()[1]
doors = [ThreadingHTTPServer((address, 0), door) for door in (Door, GoogleDoor)]
for door in doors:
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        # The thread of the connection does the handshake.
        door.socket = context.wrap_socket(door.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=door.serve_forever, daemon=True).start()
private = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
write("key.json", json.dumps({"client_email": ACCOUNT, "private_key": private, "private_key_id": "one"}))
scheme = "https" if files else "http"
s3, gcs = (f"{scheme}://{address}:{door.server_port}" for door in doors)
write("servers.json", json.dumps({"s3": s3, "gcs": gcs, "moto": f"http://127.0.0.1:{moto_port}"}))
print("ready", flush=True)
threading.Event().wait()
