"""A fake `opencode` executable, for tests of what starts and stops it.

`write_fake(folder)` writes the script; the variable `FAKE_OPENCODE` chooses what it does:

    serve     prints the ready line and serves `/global/health` with Basic auth; `/crash` ends it
    stubborn  the same, but ignores requests to end
    launcher  leaves the work to a child, as npm's JavaScript launcher does
    leak      prints its password, then serves
    loud      prints three megabytes, then serves
    refuse    ends at once with status 7
    silent    never gets ready; opens and closes the named pipe `FAKE_OPENCODE_PIPE`, so that a
              test knows when it is there
    public    says that it listens on every address
"""

import sys
from pathlib import Path

_SCRIPT = r"""
import base64, http.server, os, signal, subprocess, sys, time

MODE = os.environ.get("FAKE_OPENCODE", "serve")
PASSWORD = os.environ["OPENCODE_SERVER_PASSWORD"]
PAIR = base64.b64encode(f"{os.environ['OPENCODE_SERVER_USERNAME']}:{PASSWORD}".encode()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Authorization") != "Basic " + PAIR:
            return self.answer(401, b"")
        if self.path == "/crash":
            os._exit(3)
        self.answer(200, b'{"healthy":true,"version":"1.18.33"}')

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    if MODE == "refuse":
        print("Error: nothing doing", flush=True)
        sys.exit(7)
    if MODE == "silent":
        with open(os.environ["FAKE_OPENCODE_PIPE"], "w"):
            pass
        signal.pause()
    if MODE == "launcher":
        child = subprocess.Popen(
            [sys.executable, *sys.argv], env={**os.environ, "FAKE_OPENCODE": "serve"}
        )
        sys.exit(child.wait())
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "leak":
        print("the password is", PASSWORD, flush=True)
    if MODE == "loud":
        for _ in range(3 * 2**10):
            print("x" * 1023)
    assert sys.argv[1:4] == ["serve", "--hostname", "127.0.0.1"], sys.argv
    port = int(sys.argv[sys.argv.index("--port") + 1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    host = "0.0.0.0" if MODE == "public" else "127.0.0.1"
    print(f"opencode server listening on http://{host}:{port}", flush=True)
    server.serve_forever()


main()
"""


def write_fake(folder: Path) -> Path:
    """Write the executable into `folder`, and return its path."""
    script = folder / "opencode"
    script.write_text(f"#!{sys.executable} -IS\n{_SCRIPT}", encoding="utf-8")
    script.chmod(0o755)
    return script
