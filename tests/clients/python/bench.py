"""Test bench for the SDKs for Python: counted checks, simulated phones, a folder of flows.

Environment variables set by the runner name the server, the credentials and the folder.
"""

import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.request

URL = os.environ["CLIENT_URL"]
AUTH_ID = os.environ["CLIENT_ID"]
TOKEN = os.environ["CLIENT_TOKEN"]
FLOWS = os.environ["CLIENT_FLOWS"]

# What happens by itself happens within a second; a slow machine takes longer.
WAIT_MAX = 10


class Bench:
    """Counts checks and prints a line for each."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0

    def check(self, what, found, expected):
        """Checks that the values are equal."""
        self._line(found == expected, what, f"found {found!r}, expected {expected!r}")

    def raises(self, what, error, text, action):
        """Checks that the action raises this error, not a subclass, with this text in its message."""
        try:
            found = f"no error, but {action()!r}"
        except Exception as raised:
            good = type(raised) is error and text in str(raised)
            return self._line(good, what, f"found {raised!r}, expected {error.__name__} {text!r}")
        return self._line(False, what, f"found {found}, expected {error.__name__}")

    def run(self, *sections):
        """Runs functions that take the bench, prints the result, and ends the process."""
        for section in sections:
            try:
                section(self)
            except Exception:
                traceback.print_exc(limit=3, file=sys.stdout)
                self._line(False, section.__name__, "an error ended it")
        Phone.hang_up_all()
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.passed and not self.failed else 1)

    def _line(self, good, what, otherwise):
        self.passed += good
        self.failed += not good
        print(f"ok    {what}" if good else f"FAIL  {what}: {otherwise}", flush=True)


class Phone:
    """A simulated phone, made by `POST /sim/v1/…/Phone/`."""

    dialled = []

    def __init__(self, to, **more):
        self.uuid = _ask("POST", "", {"to": to, **more})["call_uuid"]
        self.dialled.append(self)

    @classmethod
    def hang_up_all(cls):
        """Ends all calls, so that the server has none left when it stops."""
        for phone in cls.dialled:
            try:
                _ask("DELETE", f"{phone.uuid}/")
            except urllib.error.HTTPError as error:
                assert error.code == 409, f"only a call that has ended cannot be ended: {error}"

    def look(self):
        """Returns its state and timeline."""
        return _ask("GET", f"{self.uuid}/")

    def heard(self):
        """Returns what it has heard, one text per sound, without silence."""
        timeline = self.look()["timeline"]
        return [_text(entry) for entry in timeline if entry["heard"] != "silence"]

    def hears(self):
        """Returns what it hears now, or heard last."""
        timeline = self.look()["timeline"]
        return _text(timeline[-1]) if timeline else ""

    def press(self, digits):
        _ask("POST", f"{self.uuid}/Press/", {"digits": digits})

    def until(self, text):
        """Waits until it hears this, and returns the phone."""
        _wait(f"to hear {text!r}", self.hears, lambda hears: hears == text)
        return self

    def has_heard(self, text):
        """Waits until it has heard this, whatever it hears now."""
        _wait(f"to have heard {text!r}", self.heard, lambda heard: text in heard)
        return True

    def ended(self):
        """Waits until its call has ended, and returns all that it has heard."""
        _wait("for the end", self.look, lambda it: it["state"] == "completed")
        return self.heard()


def flow(name, document):
    """Writes a flow atomically: a reader sees the old file or the new one."""
    path = os.path.join(FLOWS, f"{name}.xml")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(document)
    os.replace(path + ".new", path)
    return name


def _wait(what, look, is_good):
    end = time.monotonic() + WAIT_MAX
    while not is_good(seen := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {WAIT_MAX} s {what}, but {seen!r}")
        time.sleep(0.01)


def _ask(method, path, body=None):
    headers = {"X-Auth-ID": AUTH_ID, "X-Auth-Token": TOKEN, "Content-Type": "application/json"}
    url = f"{URL}/sim/v1/Account/{AUTH_ID}/Phone/{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=WAIT_MAX) as answer:
        return json.loads(answer.read() or "null")


def _text(entry):
    words = [entry.get(key) for key in ("heard", "conference", "text", "url")]
    return " ".join(word for word in words if word)
