#!/usr/bin/env python3
"""Test of `conflow watch` in a pseudo-terminal: the screen while calls arrive, are kicked and hang up,
and while the server restarts; and whether the terminal is restored at the end.

usage: tests/watch.py PROGRAM     the conflow binary
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.argv[1]).resolve())
ID = "MACONFLOWDEV00000000"
PATIENCE = 20


def check(holds, what):
    if not holds:
        sys.exit(f"watch: {what}")


class Server:
    """A conflow in its own folder, on a free port, or again on the port of an earlier one."""

    def __init__(self, home, http="127.0.0.1:0"):
        self.home = home
        command = [PROGRAM, "serve", "--http", http, "--sip", "off", "--flows", str(ROOT / "flows")]
        log = open(home / "log", "w+b")
        self.process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r" serves .*http=([0-9.:]+)", self.log())):
            check(time.monotonic() < end, f"no server: {self.log()}")
            time.sleep(0.05)
        self.http = found[1]

    def log(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.home / "log").read_text())

    def post(self, path, body):
        headers = {
            "X-Auth-ID": ID,
            "X-Auth-Token": (self.home / "data/dev-token").read_text().strip(),
            "Content-Type": "application/json",
        }
        url = f"http://{self.http}/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Terminal:
    """A terminal that understands what the watch writes, and the watch that runs in it."""

    def __init__(self, home, http, columns, rows):
        self.ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        self.theirs, self.raw, self.rest = theirs, b"", ""
        self.resize(columns, rows)
        clean = {name: value for name, value in os.environ.items() if "CONFLOW_" not in name}
        self.watch = subprocess.Popen(
            [PROGRAM, "watch", "--url", f"http://{http}"],
            cwd=home,
            env={**clean, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, columns, rows):
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def screen(self):
        return "\n".join("".join(row).rstrip() for row in self.cells).rstrip()

    def read(self, seconds):
        if select.select([self.ours], [], [], seconds)[0]:
            try:
                piece = os.read(self.ours, 65536)
            except OSError:
                return
            self.raw += piece
            self.show(piece.decode(errors="replace"))

    def show(self, text):
        text = self.rest + text
        # A sequence may arrive in two pieces.
        cut = re.search(r"\x1b(\[[0-9;?]*)?$", text)
        self.rest = text[cut.start() :] if cut else ""
        text = text[: cut.start()] if cut else text
        for found in re.finditer(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b.|(.)", text, re.S):
            numbers, command, character = found.groups()
            if command == "H":
                y, x = (numbers.split(";") + ["1", "1"])[:2] if numbers else ("1", "1")
                self.y, self.x = int(y) - 1, int(x) - 1
            elif command == "J":
                self.cells = [[" "] * len(row) for row in self.cells]
            elif character and character >= " ":
                if self.y < len(self.cells) and self.x < len(self.cells[self.y]):
                    self.cells[self.y][self.x] = character
                self.x += 1

    def wait(self, *patterns):
        end = time.monotonic() + PATIENCE
        while not all(re.search(it, self.screen(), re.M) for it in patterns):
            what = f"{patterns} is not on the screen:\n{self.screen()}"
            check(time.monotonic() < end and self.watch.poll() is None, what)
            self.read(0.1)

    def end(self):
        """Waits for the watch, which has been told to end, and checks what it leaves behind."""
        end = time.monotonic() + PATIENCE
        while self.watch.poll() is None:
            check(time.monotonic() < end, "it does not end")
            self.read(0.1)
        self.read(0.1)
        check(self.watch.returncode == 0, f"its exit code is {self.watch.returncode}")
        check(b"\x1b[?1049l" in self.raw, "the previous screen is not restored")
        check(self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l"), "the cursor is hidden")
        check(termios.tcgetattr(self.theirs) == self.before, "the terminal is left raw")


def main():
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        server = Server(home)
        terminal = Terminal(home, server.http, 100, 20)
        try:
            terminal.wait(r"live$", r"^  0 rooms", r"nobody is in a room")
            for _ in range(3):
                server.post(f"sim/v1/Account/{ID}/Phone/", {"to": "kick"})
            terminal.wait(r"^> MyConference +3 ", r"> +1 1555\d+ .* the room$", r" 3 1555\d+")
            server.post(f"api/v1/Account/{ID}/Conference/MyConference/Member/1/Kick/", {})
            terminal.wait(r"^> MyConference +2 ", r"> +1 1555\d+ +kicked +“You have been")
            print(terminal.screen())
            terminal.wait(r"over; kicked")
            os.write(terminal.ours, b"lj")
            terminal.wait(r"> +2 1555\d+ ")

            server.kill()
            terminal.wait(r"NO CONNECTION, trying again: ")
            server = Server(home, server.http)
            terminal.wait(r"live$", r"^  0 rooms")

            terminal.resize(36, 8)
            server.post(f"sim/v1/Account/{ID}/Phone/", {"to": "kick"})
            terminal.wait(r"live$", r"^>\d+ 1555")
            terminal.watch.send_signal(signal.SIGTERM)
            terminal.end()

            terminal = Terminal(home, server.http, 80, 24)
            terminal.wait(r"live$", r"^> MyConference +1 ")
            os.write(terminal.ours, b"q")
            terminal.end()
        finally:
            server.kill()
            if terminal.watch.poll() is None:
                terminal.watch.kill()
                terminal.watch.wait()
    print("watch: it shows every change and restores the terminal")


main()
