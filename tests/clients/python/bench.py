"""What every script has: checks that are counted, simulated phones, a folder of flows.

Where the server is, and whose credentials are good there, the runner says in variables.
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

# What has to happen by itself, happens within a second; a slow machine takes longer.
WAIT_MAX = 10


class Bench:
    """Counts checks, and prints a line for each."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0

    def check(self, what, found, expected):
        """They are equal."""
        self._line(found == expected, what, f"found {found!r}, expected {expected!r}")

    def raises(self, what, error, text, deed):
        """The deed raises this error, and no subclass of it, with this text in its message."""
        try:
            found = f"no error, but {deed()!r}"
        except Exception as raised:
            good = type(raised) is error and text in str(raised)
            return self._line(good, what, f"found {raised!r}, expected {error.__name__} {text!r}")
        return self._line(False, what, f"found {found}, expected {error.__name__}")

    def run(self, *sections):
        """Runs functions that take the bench, says how it went, and ends the process."""
        for section in sections:
            try:
                section(self)
            except Exception:
                traceback.print_exc(limit=3, file=sys.stdout)
                self._line(False, section.__name__, "it broke off")
        Phone.hang_up_all()
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.passed and not self.failed else 1)

    def _line(self, good, what, otherwise):
        self.passed += good
        self.failed += not good
        print(f"ok    {what}" if good else f"FAIL  {what}: {otherwise}", flush=True)


class Phone:
    """A simulated phone, as `POST /sim/v1/…/Phone/` makes it."""

    dialled = []

    def __init__(self, to, **more):
        self.uuid = _ask("POST", "", {"to": to, **more})["call_uuid"]
        self.dialled.append(self)

    @classmethod
    def hang_up_all(cls):
        """So that the server has nobody to say goodbye to."""
        for phone in cls.dialled:
            try:
                _ask("DELETE", f"{phone.uuid}/")
            except urllib.error.HTTPError as error:
                assert error.code == 409, f"only a call that has ended cannot be ended: {error}"

    def look(self):
        """What is told of it: its state, its timeline."""
        return _ask("GET", f"{self.uuid}/")

    def heard(self):
        """What it has heard, one text for each thing but silence."""
        timeline = self.look()["timeline"]
        return [_text(entry) for entry in timeline if entry["heard"] != "silence"]

    def hears(self):
        """What it hears now, or heard last."""
        timeline = self.look()["timeline"]
        return _text(timeline[-1]) if timeline else ""

    def press(self, digits):
        _ask("POST", f"{self.uuid}/Press/", {"digits": digits})

    def until(self, text):
        """Waits until it hears this; gives back itself."""
        _wait(f"to hear {text!r}", self.hears, lambda hears: hears == text)
        return self

    def has_heard(self, text):
        """Waits until it has heard this, whatever it hears now."""
        _wait(f"to have heard {text!r}", self.heard, lambda heard: text in heard)
        return True

    def ended(self):
        """Waits until its call is over; gives back all that it has heard."""
        _wait("for the end", self.look, lambda it: it["state"] == "completed")
        return self.heard()


def flow(name, document):
    """Writes a flow, as a whole: who reads it meanwhile sees the old one or the new one."""
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
