"""Test of the conference API with the client of Vobiz' SDK for Python.

The SDK has no methods for conferences yet: credentials, requests, responses and errors are its own, the
paths are here.
"""

import vobiz
from vobiz.exceptions import AuthenticationError, ResourceNotFoundError, ValidationError

from bench import AUTH_ID, TOKEN, Phone, flow

OUT = "speech You are out."


class Conferences:
    """The conferences of an account, with the interface that documents.py needs."""

    def __init__(self, token=TOKEN):
        self.client = vobiz.RestClient(AUTH_ID, token)

    def sections(self):
        """The sections for Bench.run."""
        return [self.rooms_and_kicks, self.member_controls, self.phones, self.errors]

    def list(self):
        return self.client.request("GET", ("Conference",))

    def get(self, room):
        return self.client.request("GET", ("Conference", room))

    def hangup(self, room):
        return self.client.request("DELETE", ("Conference", room))

    def member_kick(self, room, who):
        return self.member("POST", room, who, "Kick")

    def member(self, method, room, who, *action, **parameters):
        return self.client.request(method, ("Conference", room, "Member", who, *action), parameters)

    def enter(self, room, count):
        """Dials `count` phones into a room, and returns them with their member ids."""
        document = vobiz.vobizxml.ResponseElement().add_conference(room, stay_alone=True)
        document.add_speak("You are out.").add_wait(length=60)
        name = flow("enter", document.to_string())
        phones = [Phone(name).until(f"room {room}") for _ in range(count)]
        inside = {member.call_uuid: member.member_id for member in self.get(room).members}
        return phones, [inside[phone.uuid] for phone in phones]

    def rooms_and_kicks(self, bench):
        bench.check("list: there are no conferences", self.list().conferences, [])
        phones, [one, two, three, four] = self.enter("Küche 1", 4)
        bench.check("list: its name", self.list().conferences, ["Küche 1"])
        room = self.get("Küche 1")
        found = (room.conference_name, room.conference_member_count, room.members[0].member_id)
        bench.check("get: name, count, member", found, ("Küche 1", "4", one))

        for who, count, what in [
            (two, 1, "one"),
            (f"{three},{one}", 2, "a list"),
            ("all", 1, "all"),
        ]:
            before = [phone.hears() for phone in phones].count(OUT)
            answer = self.member_kick("Küche 1", who)
            found = [phone.hears() for phone in phones].count(OUT) - before
            bench.check(f"kick: at once {what} hears the next element", found, count)
            found = (answer.message, answer.member_id, len(answer.api_id))
            bench.check(f"kick: {what}, the answer", found, ("kicked", who, 36))
        bench.check("kick: the room without members is gone", self.list().conferences, [])

    def phones(self, bench):
        """Endpoints and applications."""
        ask = self.client.request
        values = {"app_name": "desk", "answer_url": "https://app.example/a", "answer_method": "GET"}
        app = ask("POST", ("Application",), values).app_id
        values = {"username": "anna", "password": "correct-horse", "alias": "Anna"}
        made = ask("POST", ("Endpoint",), {**values, "application": int(app)})
        bench.check("endpoint: it is made", (made.message, made.alias), ("created", "Anna"))
        found = ask("GET", ("Endpoint", made.endpoint_id)).application
        found = found if isinstance(found, dict) else vars(found)
        bench.check("endpoint: its application", found["app_id"], app)
        changed = ask("POST", ("Endpoint", made.endpoint_id), {"alias": "Anne"})
        bench.check("endpoint: update", changed.message, "changed")
        listed = ask("GET", ("Endpoint",)).objects
        bench.check("endpoint: list", len(listed), 1)
        ask("DELETE", ("Application", app))
        bench.check("endpoint: it is gone", list(ask("GET", ("Endpoint",)).objects), [])

    def member_controls(self, bench):
        [phone, other], [one, two] = self.enter("controls", 2)
        flags = lambda: [(it.muted, it.deaf) for it in self.get("controls").members]
        self.member("POST", "controls", one, "Mute")
        self.member("POST", "controls", "all", "Deaf")
        bench.check("mute and deaf", flags(), [(True, True), (False, True)])
        self.member("DELETE", "controls", one, "Mute")
        self.member("DELETE", "controls", "all", "Deaf")
        bench.check("unmute and undeaf", flags(), [(False, False)] * 2)

        answer = self.member("POST", "controls", one, "Play", url="https://example.com/a.mp3")
        found = (answer.message, phone.hears())
        bench.check("play", found, ("play started", "sound https://example.com/a.mp3"))
        self.member("DELETE", "controls", one, "Play")
        bench.check("play: stopped at once", phone.hears(), "room controls")
        answer = self.member(
            "POST", "controls", f"{one},{two}", "Speak", text="Hello, you two. " * 9
        )
        found = (answer.message, answer.member_id, other.hears().startswith("speech Hello"))
        bench.check("speak", found, ("speak started", f"{one},{two}", True))
        self.member("DELETE", "controls", f"{one},{two}", "Speak")
        bench.check("speak: stopped at once", other.hears(), "room controls")

        self.member("DELETE", "controls", one)
        bench.check("hang up: one has ended at once", phone.look()["state"], "completed")
        self.hangup("controls")
        bench.check("hang up: the room has ended at once", other.look()["state"], "completed")

    def errors(self, bench):
        [phone], [one] = self.enter("here", 1)
        for what, error, text, action in [
            ("a wrong token", AuthenticationError, "wrong credentials", Conferences("wrong").list),
            ("no such room", ResourceNotFoundError, "conference not found", lambda: self.get("no")),
            (
                "no such member",
                ResourceNotFoundError,
                "member not found",
                lambda: self.member_kick("here", "999999"),
            ),
            (
                "speak without a text",
                ValidationError,
                "text: missing",
                lambda: self.member("POST", "here", one, "Speak"),
            ),
        ]:
            bench.raises(f"errors: {what}", error, text, action)
        bench.check("errors: nothing has happened", phone.hears(), "room here")
        self.hangup("here")
