"""Test with plivo 0.11 for Python, which has an option for the host, against a running conflow."""

import plivo

from bench import AUTH_ID, TOKEN, URL, Bench, Phone, flow

client = plivo.RestAPI(AUTH_ID, TOKEN, url=URL)


def start(bench):
    """What an application asks for at its start."""
    status, account = client.get_account()
    bench.check("account", (status, account["auth_id"]), (200, AUTH_ID))
    for name in ("applications", "endpoints", "numbers", "recordings"):
        status, answer = getattr(client, f"get_{name}")()
        bench.check(f"list: {name}", (status, answer["objects"]), (200, []))


def members(bench):
    document = "<Response><Conference>old/room</Conference><Speak>Out.</Speak></Response>"
    phone = Phone(flow("old", document)).until("room old/room")
    status, room = client.get_live_conference({"conference_name": "old/room"})
    bench.check("get", (status, room["conference_member_count"]), (200, "1"))
    who = {"conference_name": "old/room", "member_id": room["members"][0]["member_id"]}
    status, answer = client.speak_member({**who, "text": "Hello."})
    bench.check("speak", (status, answer["member_id"]), (202, who["member_id"]))
    bench.check("speak: it is heard", phone.has_heard("speech Hello."), True)
    status, answer = client.record_conference({"conference_name": "old/room"})
    bench.check("record", (status, answer["message"]), (202, "conference recording started"))
    status, answer = client.kick_member(dict(who))
    bench.check("kick", (status, answer["message"]), (202, "kicked"))
    bench.check("kick: the next element", phone.hears(), "speech Out.")


def calls(bench):
    call = {"from": "1", "to": "sim:old", "answer_url": "flow:old"}
    status, answer = client.make_call(call)
    bench.check("make a call", (status, answer["message"]), (201, "call fired"))
    status, _ = client.hangup_call({"call_uuid": answer["request_uuid"]})
    bench.check("hang up", status, 204)


Bench("plivo-python-old").run(start, members, calls)
