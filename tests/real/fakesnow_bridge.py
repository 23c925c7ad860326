"""A bridge from the stand-in for Snowflake to fakesnow: forwards statements from HTTP to the driver's protocol.

usage: fakesnow_bridge.py FILE     writes its port to FILE, serves until it is killed

A request has the statement as its body and the name of the account in X-Account: each account has its own database.
The answer is `ok`, `skipped` for a statement that fakesnow does not support, or its error message.
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import fakesnow
import snowflake.connector

# Statements that fakesnow 0.12.1 does not know, or accepts without any effect.
UNKNOWN = re.compile(
    r"""^\s*(GRANT|REVOKE|USE|DROP\ DATABASE|(CREATE|DROP|ALTER|COMMENT\ ON)\ (ROLE|TAG)|CREATE\ OR\ REPLACE\ (ROLE|TAG)
    |SHOW\ (ROLES|GRANTS|TAGS)|SELECT\ CURRENT_SECONDARY_ROLES|ALTER\ (DATABASE|SCHEMA|USER)|ALTER\ VIEW|COMMENT\ ON\ COLUMN)\b
    |\b(SET|UNSET)\ TAG\b|(TAG|POLICY)_REFERENCES|\b(DROP|ADD)\ (PRIMARY\ KEY|UNIQUE)\b|^\s*CREATE\ VIEW.*\bLIMIT\b""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
# DuckDB, which fakesnow uses, keeps indexes for keys, and has no sizes of bytes.
LIMITS = ("constraint specified", "Cannot drop column", "depend on it", "depends on it", "type parameters", "Type with name")
# A table or view that fakesnow knows only in part.
PART = r'(?:"(?:[^"]|"")*"|[A-Za-z_]\w*)'
NAME = re.compile(rf"{PART}\.{PART}\.{PART}")


class Bridge(BaseHTTPRequestHandler):
    connections = {}
    diverged = set()
    arguments = {}

    def do_POST(self):
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = self.answer(self.headers.get("X-Account", ""), sql).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def answer(self, account, sql):
        found = NAME.search(sql)
        name = (account, found.group().replace('"', "").upper() if found else "")
        if UNKNOWN.search(sql):
            return "skipped"
        if name in self.diverged:
            if sql.upper().startswith("DROP"):
                self.diverged.discard(name)
                self.run(account, sql)
            return "skipped"
        # It writes comments into a separate table, without escaping them; views have no tags, and columns no types in
        # types.
        if "\\'" in sql or " WITH TAG (" in sql or " MAP(" in sql:
            self.diverged.add(name)
            return "skipped"
        said = self.run(account, sql)
        if any(limit in said for limit in LIMITS):
            self.diverged.add(name)
            return "skipped"
        # Columns of a view whose table has changed.
        is_broken = sql.upper().startswith("DESCRIBE VIEW") and "not found in FROM clause" in said
        return "skipped" if is_broken else said

    def run(self, account, sql):
        if account not in self.connections:
            self.connections[account] = snowflake.connector.connect(**self.arguments)
        try:
            self.connections[account].cursor().execute(sql).fetchall()
            return "ok"
        except Exception as error:
            return " ".join(str(error).split())

    def log_message(self, *_):
        pass


with fakesnow.server() as arguments:
    parameters = {**arguments.get("session_parameters", {}), "FAKESNOW_DB_PATH": ":isolated:"}
    Bridge.arguments = {**arguments, "session_parameters": parameters}
    server = HTTPServer(("127.0.0.1", 0), Bridge)
    with open(sys.argv[1], "w") as file:
        file.write(str(server.server_port))
    server.serve_forever()
