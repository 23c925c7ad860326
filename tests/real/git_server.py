"""Git over https on a free port of this machine, for one account.

usage: git_server.py FOLDER CERTIFICATE KEY USER:PASSWORD

Prints the port. `git http-backend` answers, which has the interface of CGI: https://git-scm.com/docs/git-http-backend
"""

import base64
import gzip
import http.server
import os
import ssl
import subprocess
import sys

FOLDER, CERTIFICATE, KEY, ACCOUNT = sys.argv[1:]
EXPECTED = 'Basic ' + base64.b64encode(ACCOUNT.encode()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def body(self):
        if self.headers.get('Transfer-Encoding') != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b';')[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b''.join(chunks)

    def answer(self):
        body = self.body()
        if self.headers.get('Authorization') != EXPECTED:
            self.send_response(401)
            self.send_header('WWW-Authenticate', 'Basic realm="git"')
            self.send_header('Content-Length', '0')
            return self.end_headers()
        if self.headers.get('Content-Encoding') == 'gzip':
            body = gzip.decompress(body)
        path, _, query = self.path.partition('?')
        variables = {
            'PATH': os.environ['PATH'],
            'GIT_PROJECT_ROOT': os.path.abspath(FOLDER),
            'GIT_HTTP_EXPORT_ALL': '1',
            'GIT_PROTOCOL': self.headers.get('Git-Protocol') or '',
            'REMOTE_USER': ACCOUNT.split(':')[0],
            'REMOTE_ADDR': self.client_address[0],
            'REQUEST_METHOD': self.command,
            'PATH_INFO': path,
            'QUERY_STRING': query,
            'CONTENT_TYPE': self.headers.get('Content-Type') or '',
            'CONTENT_LENGTH': str(len(body)),
        }
        output = subprocess.run(['git', 'http-backend'], input=body, env=variables, capture_output=True).stdout
        head, _, content = output.partition(b'\r\n\r\n')
        headers = [line.split(': ', 1) for line in head.decode().split('\r\n') if ': ' in line]
        status = next((value for name, value in headers if name == 'Status'), '200 OK')
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != 'Status':
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
