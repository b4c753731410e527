"""What no schema says: what there is on this server, whom it reaches, and that nobody else is asked.

Before each request there is a call, and a conference with a member, for it to find.
"""

import os
import re
import time

import requests
import schemathesis

ACCOUNT = "/v1/Account/" + os.environ["CLIENT_ID"]
SCHEME_AND_HOST = re.compile(r"(https?)://[^/?#,]*")
# A conference has its first member some milliseconds after a phone dials in.
LOOKS = 200

server = requests.Session()
server.auth = (os.environ["CLIENT_ID"], os.environ["CLIENT_TOKEN"])
there = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.phase.name.value == "stateful":
        return
    path = case.path_parameters
    if path and "conference_name" in path and not is_up("Conference/weekly/"):
        dial()
    if path and "call_uuid" in path and case.meta.generation.mode.is_positive:
        if not is_up("Call/" + there.get("call", "0") + "/?status=live"):
            dial()
        path["call_uuid"] = there["call"]
    if isinstance(case.body, dict):
        case.body = {name: nearby(name, value) for name, value in case.body.items()}


def is_up(path):
    return server.get(os.environ["CLIENT_URL"] + ACCOUNT + "/" + path).status_code == 200


def dial():
    """A phone dials in, and comes to the conference."""
    url = os.environ["CLIENT_URL"] + "/sim" + ACCOUNT + "/Phone/"
    there["call"] = server.post(url, json={"to": "4100"}).json()["call_uuid"]
    for _ in range(LOOKS):
        if is_up("Conference/weekly/"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody comes to the conference")


def nearby(name, value):
    if isinstance(value, list):
        return [nearby("", item) for item in value]
    if not isinstance(value, str):
        return value
    if name == "to" and value and not value.startswith("sim:"):
        # There are simulated phones, and no others.
        return "<".join(f"sim:x{n}" for n, _ in enumerate(value.split("<")))
    # A port where nobody is.
    return SCHEME_AND_HOST.sub(r"\1://127.0.0.1:9", value)
