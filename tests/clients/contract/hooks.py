"""Hooks of schemathesis for facts that are not in the schema: existing ids, and addresses of nobody.

Before each request, they make sure that its call and a conference with a member exist.
"""

import os
import re
import time

import recordings
import requests
import schemathesis

ACCOUNT = "/v1/Account/" + os.environ["CLIENT_ID"]
SCHEME_AND_HOST = re.compile(r"(https?)://[^/?#,]*")
# A conference has its first member some milliseconds after a phone dials in.
LOOKS = 200
# Parameters that name an application of the account.
APPLICATIONS = ("app_id", "application", "new_endpoint_application")
# Valid targets of a kick: the element is in flow.xml.
AHEAD = {"element": "out", "xml": "<Response><Hangup/></Response>"}

server = requests.Session()
server.auth = (os.environ["CLIENT_ID"], os.environ["CLIENT_TOKEN"])
there = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    # Wrong credentials are limited by address: each request comes from one of its own.
    there["clients"] = there.get("clients", 0) + 1
    n = there["clients"]
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"}
    if case.query and case.meta is not None and case.meta.generation.mode.is_positive:
        # A pattern cannot know how many days a month has.
        for name in case.query:
            if name.startswith(("add_time", "end_time", "event_time", "since")) and isinstance(case.query[name], str):
                case.query[name] = re.sub(r"-(29|30|31)\b", "-28", case.query[name])
    if case.meta is not None and case.meta.generation.mode.is_positive and isinstance(case.body, dict):
        case.body.update({name: application("body") for name in APPLICATIONS if name in case.body})
    if case.meta is None or case.meta.phase.name.value == "stateful":
        return
    path = case.path_parameters
    if path and "conference_name" in path and not is_up("Conference/weekly/"):
        dial()
    if path and case.meta.generation.mode.is_positive:
        if "member_id" in path:
            path["member_id"] = "all"
        if "call_uuid" in path:
            if not is_up("Call/" + there.get("call", "0") + "/?status=live"):
                dial()
            path["call_uuid"] = there["call"]
        if "/Record/" in case.path:
            be_recorded(case, path)
        if "request_uuid" in path:
            path["request_uuid"] = queue()
        if "app_id" in path:
            path["app_id"] = application("path")
        if "endpoint_id" in path:
            values = {"username": "anna", "password": "correct-horse", "alias": "Anna"}
            path["endpoint_id"] = existing("endpoint", "Endpoint/", "endpoint_id", values)
        if "ban_id" in path:
            path["ban_id"] = ban()
        if "recording_id" in path:
            path["recording_id"] = recordings.record()
    if isinstance(case.body, dict):
        case.body = {name: nearby(name, value) for name, value in case.body.items()}
        names = [case.body.get(name) for name in ("user", "to")]
        if case.meta.generation.mode.is_positive and all(isinstance(it, str) for it in names):
            # One user per called phone.
            case.body["user"] = re.sub("[^<]+", "somebody", case.body["to"])
        then = case.body.get("then")
        if case.meta.generation.mode.is_positive and isinstance(then, dict):
            # An element that exists ahead, and a valid document.
            then.update({name: AHEAD[name] for name in then if name in AHEAD})


def is_up(path):
    return server.get(os.environ["CLIENT_URL"] + ACCOUNT + "/" + path).status_code == 200


def be_recorded(case, path):
    """Ends the recordings of what is to be recorded; for a pause, there is one."""
    what = "Call/" + path["call_uuid"] if "call_uuid" in path else "Conference/weekly"
    url = f"{os.environ['CLIENT_URL']}{ACCOUNT}/{what}/Record/"
    # A call has four at a time.
    server.delete(url)
    if case.path.endswith(("/Pause/", "/Resume/")):
        server.post(url)


def application(use):
    """Returns an application; the one of a path may be removed, and that of a body stays."""
    values = {"app_name": "desk", "answer_url": "flow:4100"}
    return existing("application of the " + use, "Application/", "app_id", values)


def existing(key, path, name, values):
    """Returns the id of something that the account has, and makes it if it has gone."""
    if not is_up(path + there.get(key, "0") + "/"):
        made = server.post(os.environ["CLIENT_URL"] + ACCOUNT + "/" + path, json=values)
        there[key] = made.json()[name]
    return there[key]


def dial():
    """Dials in a phone and waits until the conference exists."""
    url = os.environ["CLIENT_URL"] + "/sim" + ACCOUNT + "/Phone/"
    there["call"] = server.post(url, json={"to": "4100"}).json()["call_uuid"]
    for _ in range(LOOKS):
        if is_up("Conference/weekly/"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody comes to the conference")


def ban():
    """Dials in a phone with an identity, kicks and bans it, and returns the ban's id."""
    there["users"] = there.get("users", 0) + 1
    url = os.environ["CLIENT_URL"] + "/sim" + ACCOUNT + "/Phone/"
    server.post(url, json={"to": "4100", "user": "banned-%d" % there["users"]})
    room = os.environ["CLIENT_URL"] + ACCOUNT + "/Conference/weekly/"
    for _ in range(LOOKS):
        kicked = server.post(room + "Member/all/Kick/", json={"ban_seconds": 60})
        banned = kicked.json().get("banned") if kicked.status_code == 202 else None
        if banned:
            return banned[0]
        time.sleep(0.01)
    raise AssertionError("nobody is banned")


def queue():
    """Makes a call that does not ring yet, and returns its request id."""
    body = {"from": "4100", "to": "sim:late?delay_ms=60000", "answer_url": "flow:4100"}
    return server.post(os.environ["CLIENT_URL"] + ACCOUNT + "/Call/", json=body).json()["request_uuid"]


def nearby(name, value):
    if isinstance(value, list):
        return [nearby("", item) for item in value]
    if not isinstance(value, str):
        return value
    if name == "to" and value and not value.startswith("sim:"):
        # Only simulated phones are called.
        return "<".join(f"sim:x{n}" for n, _ in enumerate(value.split("<")))
    # Nothing listens at this port.
    return SCHEME_AND_HOST.sub(r"\1://127.0.0.1:9", value)
