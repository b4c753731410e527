"""Test of a backend with Plivo's Python SDK: a small single-threaded Flask application against conflow.

The application answers with documents from the SDK's own builder, checks every callback with the SDK's
own validator, and kicks a member from within a callback. The requests about two of the calls are
compared with the files in golden/, field by field; a star stands for a value that differs in each run.
WRITE_GOLDEN=1 rewrites them.

    python plivo_python.py http://127.0.0.1:8080 MACONFLOWDEV00000000 TOKEN
"""

import difflib
import json
import os
import re
import sys
import threading
import time
import urllib.request

import plivo
import plivo.rest.client
from flask import Flask, Response, request
from plivo import plivoxml
from plivo.exceptions import ResourceNotFoundError, ValidationError
from plivo.utils import validate_v3_signature
from werkzeug.serving import make_server

SERVER, AUTH_ID, TOKEN = sys.argv[1:4]
for name in (
    "PLIVO_API_BASE_URI",
    "API_VOICE_BASE_URI",
    "API_VOICE_BASE_URI_FALLBACK_1",
    "API_VOICE_BASE_URI_FALLBACK_2",
):
    setattr(plivo.rest.client, name, SERVER + "/v1/Account")
client = plivo.RestClient(auth_id=AUTH_ID, auth_token=TOKEN)

app = Flask("quickstart")
told = []


def say(text):
    print(text, flush=True)


def check(what, is_so):
    say(("ok    " if is_so else "FAILED ") + what)
    if not is_so:
        sys.exit(1)


def fields():
    """Returns the fields of the request, and notes whether the SDK's validator accepts it."""
    values = request.form if request.method == "POST" else request.args
    params = {name: values[name] for name in request.form} if request.method == "POST" else {}
    nonce = request.headers["X-Plivo-Signature-V3-Nonce"]
    # Signed with the account's token, and with that of the main account, which it is itself.
    is_valid = all(
        validate_v3_signature(
            request.method, request.url, nonce, TOKEN, request.headers[name], params
        )
        for name in ("X-Plivo-Signature-V3", "X-Plivo-Signature-Ma-V3")
    )
    told.append((request.method + " " + request.path, "valid" if is_valid else "INVALID", dict(values)))
    return values


@app.route("/answer", methods=["GET", "POST"])
def answer():
    fields()
    room = request.args.get("room", "quickstart")
    response = plivoxml.ResponseElement()
    response.add(
        plivoxml.ConferenceElement(
            room,
            callback_url=base + "/conference?room=" + room,
            callback_method="POST",
            enter_sound="beep:1",
            stay_alone=True,
        )
    )
    response.add(plivoxml.SpeakElement("You have left the conference"))
    response.add(plivoxml.WaitElement(length=30))
    return Response(response.to_string(), mimetype="application/xml")


@app.route("/next", methods=["GET", "POST"])
def following():
    fields()
    response = plivoxml.ResponseElement()
    response.add(plivoxml.SpeakElement("You have been transferred"))
    response.add(plivoxml.WaitElement(length=30))
    return Response(response.to_string(), mimetype="application/xml")


@app.route("/conference", methods=["GET", "POST"])
def conference():
    event = fields()
    # The third member is kicked from here, while the server still waits for this response.
    if event["ConferenceAction"] == "enter" and event["ConferenceMemberID"] == members.get("kick"):
        client.conferences.member_kick(event["ConferenceName"], event["ConferenceMemberID"])
    return ""


@app.route("/ring", methods=["POST"])
@app.route("/hangup", methods=["POST"])
def call():
    fields()
    return ""


members = {}


def until(is_so, what):
    for _ in range(100):
        if is_so():
            return
        time.sleep(0.05)
    check(what, False)


def count(room):
    try:
        return int(client.conferences.get(room).conference_member_count)
    except ResourceNotFoundError:
        return 0


def dial(room, name):
    made = client.calls.create(
        from_="14155550100",
        to_="sim:%s?ring_ms=200" % name,
        answer_url="%s/answer?room=%s" % (base, room),
        answer_method="GET",
        ring_url=base + "/ring",
        hangup_url=base + "/hangup",
    )
    check("calls.create answers " + made.message, made.message == "call fired")
    return made.request_uuid


def heard(call):
    path = "%s/sim/v1/Account/%s/Phone/%s/" % (SERVER, AUTH_ID, call)
    headers = {"X-Auth-ID": AUTH_ID, "X-Auth-Token": TOKEN}
    with urllib.request.urlopen(urllib.request.Request(path, headers=headers)) as answer:
        return [it.get("text") for it in json.load(answer)["timeline"]]


def conferences():
    dial("quickstart", "one")
    until(lambda: count("quickstart") == 1, "one is in")
    dial("quickstart", "two")
    until(lambda: count("quickstart") == 2, "two are in")
    check("conferences.list", "quickstart" in client.conferences.list().conferences)
    room = client.conferences.get("quickstart")
    ids = [it["member_id"] for it in room.members]
    everyone, one = ",".join(ids), room.members[0]["call_uuid"]
    members["kick"] = str(max(map(int, ids)) + 1)
    for name, message in [("mute", "muted"), ("deaf", "deaf")]:
        done = getattr(client.conferences, "member_" + name)("quickstart", everyone)
        check("member_%s" % name, done.message == message)
    client.conferences.member_mute_stop("quickstart", everyone)
    client.conferences.member_deaf_stop("quickstart", everyone)
    client.conferences.member_play("quickstart", ids[0], "https://s3.amazonaws.com/a.mp3")
    client.conferences.member_play_stop("quickstart", ids[0])
    client.conferences.member_speak("quickstart", "all", "Hello")
    client.conferences.member_speak_stop("quickstart", "all")
    check("the flags are off", not any(it["muted"] for it in client.conferences.get("quickstart").members))

    three = dial("quickstart", "three")
    until(lambda: "You have left the conference" in heard(three), "the third continues")
    check("the callback has kicked the third", count("quickstart") == 2)
    done = client.conferences.member_kick("quickstart", ids[0])
    check("member_kick", done.message == "kicked" and done.member_id == ids[0])
    check("the kicked member continues at once", heard(one)[-1] == "You have left the conference")
    client.conferences.member_hangup("quickstart", ids[1])
    check("the room is gone", count("quickstart") == 0)
    try:
        client.conferences.member_kick("quickstart", "1")
        check("a kick of an unknown member", False)
    except ResourceNotFoundError as error:
        check("a kick of an unknown member: %s" % error, True)
    for call in (one, three):
        client.calls.delete(call)
    dial("hung-up", "four")
    until(lambda: count("hung-up") == 1, "the fourth is in")
    client.conferences.hangup("hung-up")
    client.conferences.hangup_all()
    check("all rooms are hung up", client.conferences.list().conferences == [])
    return one


def calls():
    call = dial("calls", "five")
    until(lambda: count("calls") == 1, "the fifth is in")
    check("calls.list_live", call in client.live_calls.list_ids().calls)
    live = client.live_calls.get(call)
    check("live_calls.get", live.call_status == "in-progress" and live.direction == "outbound")
    client.calls.play(call, ["https://s3.amazonaws.com/a.mp3"])
    client.calls.play_stop(call)
    client.calls.speak(call, "Hello")
    client.calls.speak_stop(call)
    client.calls.send_digits(call, "12")
    moved = client.calls.transfer(call, legs="aleg", aleg_url=base + "/next", aleg_method="POST")
    check("calls.transfer", "transferred" in str(moved.message))
    until(lambda: "You have been transferred" in heard(call), "the fifth is transferred")
    client.calls.hangup(call)
    record = client.calls.get(call)
    check("calls.get", record.hangup_cause_code == 4000 and record.hangup_source == "API Request")
    check("calls.list", client.calls.list(limit=5).meta.total_count >= 5)
    queued = client.calls.create("14155550100", "sim:six?delay_ms=60000", base + "/answer", "POST")
    client.calls.cancel(queued.request_uuid)
    check("calls.cancel", client.calls.get(queued.request_uuid).hangup_cause_code == 1000)
    try:
        client.calls.create("14155550100", "14155550199", base + "/answer", "POST")
        check("a call to an unknown number", False)
    except ValidationError as error:
        check("a call to an unknown number: %s" % error, True)
    return call


# Values that differ in each run: ids, increasing numbers, times and durations.
VARY = re.compile("(UUID|MemberID|Sequence|Time|Start|Duration)$")
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def golden(name, call):
    """Compares all requests about a call, with their fields in order, with the golden file."""
    lines = []
    # A document may be requested while an earlier notice is still in flight, so documents go last.
    of_call = [it for it in told if it[2].get("CallUUID") == call]
    for path, _, values in sorted(of_call, key=lambda it: not it[0].endswith(("/answer", "/next"))):
        lines.append(path)
        for field, value in values.items():
            lines.append("  %s=%s" % (field, "*" if value and VARY.search(field) else value))
    path = os.path.join(GOLDEN, name)
    if os.environ.get("WRITE_GOLDEN"):
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
    with open(path) as file:
        expected = file.read().splitlines()
    for line in difflib.unified_diff(expected, lines, "golden/" + name, "told", lineterm=""):
        say("      " + line)
    check("the requests equal golden/%s: %d lines" % (name, len(lines)), lines == expected)


def compare(one, call):
    time.sleep(0.5)
    check("the SDK accepts every signature", all(it[1] == "valid" for it in told))
    golden("kicked.txt", one)
    golden("transferred.txt", call)
    numbers = [
        int(it["ConferenceSequence"])
        for path, _, it in told
        if path == "POST /conference" and it["ConferenceName"] == "quickstart"
    ]
    check("a room's callbacks come in order", numbers == sorted(set(numbers)))


web = make_server("127.0.0.1", 0, app, threaded=False)
base = "http://127.0.0.1:%d" % web.server_port
threading.Thread(target=web.serve_forever, daemon=True).start()
first = conferences()
compare(first, calls())
say("plivo-python: all checks passed")
