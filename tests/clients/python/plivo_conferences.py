"""Test of the conference API with Plivo's SDK for Python."""

import plivo
from plivo.exceptions import AuthenticationError, ResourceNotFoundError, ValidationError

from bench import AUTH_ID, TOKEN, Phone, flow

client = plivo.RestClient(AUTH_ID, TOKEN)
conferences = client.conferences

OUT = "speech You are out."


def enter(room, count):
    """Dials `count` phones into a room one after another; each continues to OUT."""
    document = plivo.plivoxml.ResponseElement()
    document.add_conference(room)
    document.add_speak("You are out.")
    document.add_wait(length=60)
    name = flow("enter", document.to_string())
    return [Phone(name).until(f"room {room}") for _ in range(count)]


def members(room):
    """Returns the members of a room by the ids of their calls."""
    return {member.call_uuid: member for member in conferences.get(room).members}


def ids(room, phones):
    inside = members(room)
    return [inside[phone.uuid].member_id for phone in phones]


def start(bench):
    """What an application asks for at its start."""
    bench.check("start: the account", client.account.get().auth_id, AUTH_ID)
    for name in ("applications", "endpoints", "numbers", "recordings"):
        bench.check(f"start: {name}", list(getattr(client, name).list()), [])


def list_and_get(bench):
    bench.check("list: there are no conferences", list(conferences.list().conferences), [])
    document = plivo.plivoxml.ResponseElement().add_conference("look")
    name = flow("look", document.to_string())
    phone = Phone(name, **{"from": "14155550100"}, caller_name="Anna").until("room look")

    bench.check("list: its name", conferences.list().conferences, ["look"])
    room = conferences.get("look")
    bench.check("get: its name", room.conference_name, "look")
    bench.check("get: its members are counted", room.conference_member_count, "1")
    bench.check("get: its run time is a text of digits", room.conference_run_time.isdigit(), True)
    bench.check("get: there is an api_id", len(room.api_id), 36)
    member = room.members[0]
    found = (member.call_uuid, getattr(member, "from"), member.to, member.caller_name)
    bench.check("get: the member's identity", found, (phone.uuid, "14155550100", "look", "Anna"))
    found = (member.muted, member.deaf, member.direction, member.join_time.isdigit())
    bench.check("get: the member's state", found, (False, False, "inbound", True))
    conferences.hangup("look")


def kick(bench):
    phones = enter("kick", 6)
    [one, two, three, four, five, six] = ids("kick", phones)

    answer = conferences.member_kick("kick", one)
    bench.check("kick: at once the phone hears the next element", phones[0].hears(), OUT)
    found = (answer.message, answer.member_id, len(answer.api_id))
    bench.check("kick: the answer", found, ("kicked", one, 36))
    bench.check(
        "kick: the others hear the room", [it.hears() for it in phones[1:]], ["room kick"] * 5
    )
    inside = [member.member_id for member in conferences.get("kick").members]
    bench.check("kick: the member is out of the list", inside, [two, three, four, five, six])

    answer = conferences.member_kick("kick", int(two))
    bench.check("kick: the id may be a number", (phones[1].hears(), answer.member_id), (OUT, two))
    answer = conferences.member_kick("kick", f"{three},{four}")
    found = [phone.hears() for phone in phones[2:4]]
    bench.check("kick: at once a list of two hears the next element", found, [OUT] * 2)
    bench.check("kick: the answer names the list", answer.member_id, f"{three},{four}")
    answer = conferences.member_kick("kick", f"{one},{five}")
    bench.check("kick: a member who has left is left out of a list", answer.member_id, five)
    bench.raises(
        "kick: a member who has left is not found",
        ResourceNotFoundError,
        "member not found",
        lambda: conferences.member_kick("kick", one),
    )

    phones = [phones[5], *enter("kick", 2)]
    answer = conferences.member_kick("kick", "all")
    found = [phone.hears() for phone in phones]
    bench.check("kick: at once all hear the next element", found, [OUT] * 3)
    bench.check("kick: the answer says all", answer.member_id, "all")
    bench.raises(
        "kick: the room without members is gone",
        ResourceNotFoundError,
        "conference not found",
        lambda: conferences.get("kick"),
    )


def mute_and_deaf(bench):
    phones = enter("quiet", 3)
    names = ids("quiet", phones)

    def flags(name):
        inside = members("quiet")
        return [getattr(inside[phone.uuid], name) for phone in phones]

    for action, flag, message in [("mute", "muted", "muted"), ("deaf", "deaf", "deaf")]:
        start = getattr(conferences, f"member_{action}")
        stop = getattr(conferences, f"member_{action}_stop")
        for form, who, expected in [
            ("one", names[0], [True, False, False]),
            ("a list", f"{names[0]},{names[2]}", [True, False, True]),
            ("all", "all", [True, True, True]),
        ]:
            answer = start("quiet", who)
            found = (answer.message, answer.member_id, flags(flag))
            bench.check(f"{action}: {form}", found, (message, who, expected))
            found = (stop("quiet", who), flags(flag))
            bench.check(f"{action}: {form}, no longer", found, (None, [False] * 3))
        bench.check(f"{action}: a repeated stop is no error", stop("quiet", "all"), None)
    conferences.hangup("quiet")


def play_and_speak(bench):
    phones = enter("loud", 3)
    names = ids("loud", phones)
    heard = lambda: [phone.hears() for phone in phones]
    quiet = ["room loud"] * 3

    url = "https://example.com/ten-minutes.mp3"
    words = "This is an announcement that lasts. " * 20
    play = lambda who: conferences.member_play("loud", who, url)
    speak = lambda who: conferences.member_speak("loud", who, words, voice="MAN", language="en-GB")
    for action, start, stop, sound in [
        ("play", play, conferences.member_play_stop, f"sound {url}"),
        ("speak", speak, conferences.member_speak_stop, f"speech {words.strip()}"),
    ]:
        for form, who, hearers in [
            ("one", names[1], [1]),
            ("a list", f"{names[0]},{names[1]}", [0, 1]),
            ("all", "all", [0, 1, 2]),
        ]:
            answer = start(who)
            expected = [sound if n in hearers else "room loud" for n in range(3)]
            found = [text.strip() for text in heard()]
            bench.check(f"{action}: {form} hears it at once", found, expected)
            found = (answer.message, answer.member_id)
            bench.check(
                f"{action}: {form}, the answer", found, (f"{action} queued into conference", who)
            )
            found = (stop("loud", who), heard())
            bench.check(f"{action}: {form}, stopped at once", found, (None, quiet))
    found = conferences.member_play_stop("loud", "all")
    bench.check("play: a stop without a play is no error", found, None)
    conferences.hangup("loud")


def hang_up(bench):
    phones = enter("end", 4)
    names = ids("end", phones)
    how = lambda it: (it["state"], it["hangup_source"])
    by_api = ("completed", "API Request")

    answer = conferences.member_hangup("end", names[0])
    found = (answer, how(phones[0].look()), phones[0].heard())
    bench.check("hang up: one has ended at once", found, (None, by_api, ["room end"]))
    conferences.member_hangup("end", f"{names[1]},{names[2]}")
    found = [how(phone.look()) for phone in phones[1:]]
    bench.check("hang up: a list has ended at once", found[:2], [by_api] * 2)
    bench.check("hang up: the others stay", found[2][0], "in-progress")

    bench.check("hang up: the room", conferences.hangup("end"), None)
    bench.check("hang up: all in it have ended at once", how(phones[3].look()), by_api)
    bench.raises(
        "hang up: the room is gone",
        ResourceNotFoundError,
        "conference not found",
        lambda: conferences.hangup("end"),
    )

    phones = [*enter("end", 2), *enter("end too", 2)]
    found = sorted(conferences.list().conferences)
    bench.check("hang up all: there are two rooms", found, ["end", "end too"])
    bench.check("hang up all: the answer", conferences.hangup_all(), None)
    found = [how(phone.look()) for phone in phones]
    bench.check("hang up all: everybody has ended at once", found, [by_api] * 4)
    bench.check("hang up all: there is no room", list(conferences.list().conferences), [])


def names(bench):
    for room in [
        "A room with blanks",
        "Küche ☎ 会議",
        "R&D + Sales, Köln; (a=b)",
        "100.5~_-!*'@:$",
    ]:
        [phone] = enter(room, 1)
        bench.check(f"{room}: listed", list(conferences.list().conferences), [room])
        bench.check(f"{room}: found", conferences.get(room).conference_name, room)
        conferences.member_kick(room, ids(room, [phone])[0])
        bench.check(f"{room}: kicked out of", phone.hears(), OUT)


def errors(bench):
    [phone] = enter("here", 1)
    [name] = ids("here", [phone])
    stranger = plivo.RestClient(AUTH_ID, TOKEN[:-1] + "_").conferences
    bench.raises("errors: a wrong token", AuthenticationError, "wrong credentials", stranger.list)
    stranger = plivo.RestClient("MA00000000000000NONE", TOKEN).conferences
    bench.raises("errors: a wrong id", AuthenticationError, "wrong credentials", stranger.list)
    for action in [
        "kick",
        "mute",
        "mute_stop",
        "deaf",
        "deaf_stop",
        "play_stop",
        "speak_stop",
        "hangup",
    ]:
        call = getattr(conferences, f"member_{action}")
        for what, room, who, text in [
            ("room", "nowhere", name, "conference not found"),
            ("member", "here", "999999", "member not found"),
        ]:
            bench.raises(
                f"errors: {action}, no such {what}",
                ResourceNotFoundError,
                text,
                lambda: call(room, who),
            )
    speak, play = conferences.member_speak, conferences.member_play
    for what, text, action in [
        ("speak without a text", "text: missing", lambda: speak("here", name, None)),
        ("speak with an empty text", "text: missing", lambda: speak("here", name, "")),
        ("speak with no such voice", "voice:", lambda: speak("here", name, "Hi", voice="CHILD")),
        ("play without a URL", "url: missing", lambda: play("here", name, None)),
        (
            "play what is no sound",
            "url: not a sound",
            lambda: play("here", name, "file:///etc/hosts"),
        ),
    ]:
        bench.raises(f"errors: {what}", ValidationError, text, action)
    bench.check("errors: nothing has happened", phone.heard(), ["room here"])
    conferences.hangup_all()


SECTIONS = [start, list_and_get, kick, mute_and_deaf, play_and_speak, hang_up, names, errors]
