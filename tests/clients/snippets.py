"""Test of the snippets of docs/sdks.md that redirect SDKs to conflow: with a server that is always
unavailable, an SDK repeats its request, and asks no other host.

usage: snippets.py PAGE PYTHON NODE_MODULES
"""

import http.server
import os
import re
import subprocess
import sys
import threading

PAGE, PYTHON, NODE_MODULES = sys.argv[1:]
ID, TOKEN = "MA0000000000CLIENTS0", "0123456789abcdef"
PYTHON_CALL = f"""
import plivo
try:
    plivo.RestClient("{ID}", "{TOKEN}").conferences.get("weekly")
except plivo.exceptions.PlivoRestError:
    pass
"""
NODE_CALL = f"""
const {{ Client }} = require('SDK');
new Client('{ID}', '{TOKEN}').conferences.get('weekly').catch(() => null);
"""


class Unavailable(http.server.BaseHTTPRequestHandler):
    """Answers everything with 503, and notes it."""

    def do_GET(self):
        self.server.seen.append(self.path)
        body = b'{"api_id":"1","error":"unavailable"}'
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_CONNECT = do_GET

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unavailable)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def check(name, command, code, retries):
    """Runs a snippet with a call behind it."""
    engine, elsewhere = serve(), serve()
    address = "127.0.0.1:{}".format(engine.server_port)
    proxy = "http://127.0.0.1:{}".format(elsewhere.server_port)
    more = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": "127.0.0.1", "NODE_PATH": NODE_MODULES}
    code = code.replace("127.0.0.1:8080", address)
    done = subprocess.run([*command, code], env={**os.environ, **more}, timeout=60)
    good = not done.returncode and len(engine.seen) >= retries and not elsewhere.seen
    found = f"exit code {done.returncode}, asked {engine.seen} and elsewhere {elsewhere.seen}"
    print(f"ok    {name}" if good else f"FAIL  {name}: {found}", flush=True)
    return good


with open(PAGE, encoding="utf-8") as file:
    section = file.read().split("<!-- sdks: ")[1]
snippets = re.findall(r"^```(\w+)\n(.*?)^```", section, re.S | re.M)
kinds = [kind for kind, _ in snippets]
assert kinds == ["python", "javascript", "javascript", "go"], kinds
(_, python), (_, axios), (_, request), _ = snippets
node = ["node", "--no-deprecation", "-e"]
results = [
    check("sdks.md: Python", [PYTHON, "-c"], python + PYTHON_CALL, 3),
    check("sdks.md: Node.js with axios", node, axios + NODE_CALL.replace("SDK", "plivo"), 3),
    check("sdks.md: Node.js 4.12", node, request + NODE_CALL.replace("SDK", "plivo-4.12"), 3),
    check("sdks.md: Node.js 4.0", node, request + NODE_CALL.replace("SDK", "plivo-4.0"), 1),
]
sys.exit(0 if all(results) else 1)
