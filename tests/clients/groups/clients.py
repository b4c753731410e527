"""Test of groups with the clients of four systems: each creates, lists and kicks, against one server."""

import asyncio
import json
import subprocess
import sys
from hashlib import md5

import aiobungie
import requests
from rocketchat_API.APIExceptions.RocketExceptions import (
    RocketApiException,
    RocketAuthenticationException,
)
from rocketchat_API.rocketchat import RocketChat
from websockets.sync.client import connect

URL, ACCOUNT, TOKEN = sys.argv[1:]
checks = 0


def check(what, found, expected):
    global checks
    if found != expected:
        sys.exit(f"not ok - {what}: {found!r}, and not {expected!r}")
    checks += 1
    print(f"ok {checks} - {what}")


def admin(path, **body):
    where = f"{URL}/groups/v1/Account/{ACCOUNT}/{path}"
    answer = requests.post(where, json=body, auth=(ACCOUNT, TOKEN), timeout=10)
    assert answer.status_code == 201, answer.text
    return answer.json()


PEOPLE = {}
for number, name in enumerate(["alice", "bob", "carol", "dave"]):
    PEOPLE[name] = admin(
        "Person/",
        username=name,
        password=f"pw-{name}",
        email=f"{name}@example.com",
        mobile=f"88670000{number}",
        membership=f"3:{4611686018446405490 + number}",
    )["id"]


def rocket_chat():
    try:
        RocketChat("alice", "wrong", server_url=URL)
        sys.exit("not ok - a wrong password is accepted")
    except RocketAuthenticationException:
        pass
    rocket = RocketChat("alice", "pw-alice", server_url=URL)
    check("rocketchat_API: info", rocket.info()["success"], True)
    room = rocket.groups_create("rocket", members=["bob"])["group"]["_id"]
    carol = str(PEOPLE["carol"])
    check("invite", rocket.groups_invite(room, carol)["group"]["usersCount"], 3)

    def members():
        return [it["username"] for it in rocket.groups_members(room_id=room)]

    check("members", members(), ["alice", "bob", "carol"])
    left = rocket.groups_kick(room, carol)
    check("kick", (left["success"], left["group"]["usernames"]), (True, ["alice", "bob"]))
    check("members after it", members(), ["alice", "bob"])
    try:
        rocket.groups_kick(room, carol)
        sys.exit("not ok - a second kick is a success")
    except RocketApiException as error:
        check("a second kick", error.error_type, "error-user-not-in-room")
    check("info of the group", rocket.groups_info(room_id=room)["group"]["name"], "rocket")
    bob = RocketChat("bob@example.com", "pw-bob", server_url=URL)
    try:
        bob.groups_kick(room, str(PEOPLE["alice"]))
        sys.exit("not ok - a plain member kicked")
    except RocketApiException as error:
        check("a member's kick", (error.status_code, error.error_type), (400, "error-not-allowed"))


async def bungie():
    aiobungie.url.BASE = URL
    key = admin("Application/")["token"]
    clan = admin("Group/", name="clan", owner=PEOPLE["alice"])["id"]
    for name in ["bob", "carol", "dave"]:
        admin(f"Group/{clan}/Member/", person=PEOPLE[name])
    code = admin(f"Person/{PEOPLE['alice']}/Code/", admin_groups=True)["token"]
    client = aiobungie.Client(key, client_id=1, client_secret=key, max_retries=0)
    async with client.rest as rest:
        tokens = await rest.fetch_oauth2_tokens(code)
        check("aiobungie: tokens for a code", tokens.membership_id, PEOPLE["alice"])
        tokens = await rest.refresh_access_token(tokens.refresh_token)
        token = tokens.access_token
        members = await rest.fetch_clan_members(clan)
        check("members of a clan", members["totalResults"], 4)
        result = await rest.kick_clan_member(token, clan, 4611686018446405491, 3)
        check("low level kick", result["group"]["memberCount"], 3)
        result = await client.kick_clan_member(token, clan, 4611686018446405492, 3)
        check("high level kick", (result.name, result.member_count), ("clan", 2))
        try:
            await rest.kick_clan_member(token, clan, 4611686018446405492, 3)
            sys.exit("not ok - a second kick is a success")
        except aiobungie.NotFound as error:
            check("a second kick", error.error_status, "GroupMembershipNotFound")
        weak = admin(f"Person/{PEOPLE['alice']}/Token/")["token"]
        try:
            await rest.kick_clan_member(weak, clan, 4611686018446405493, 3)
            sys.exit("not ok - a kick without the scope succeeded")
        except aiobungie.Forbidden as error:
            status = "AccessNotPermittedByApplicationScope"
            check("a kick without the scope", error.error_status, status)


class Kirimin:
    """A session, as in the vendor's web page."""

    def __init__(self, name):
        self.session = requests.Session()
        self.call("POST", "/x/auth/sign-in", {"email": f"{name}@example.com"})
        code = {"email": f"{name}@example.com", "code": f"pw-{name}"}
        self.call("POST", "/x/auth/verify", code)

    def call(self, method, path, body=None):
        answer = self.session.request(method, URL + path, json=body, timeout=10).json()
        assert answer["ok"], answer
        return answer.get("data")

    def socket(self, path):
        socket = self.call("GET", "/x/auth/isUser")["socket"]
        cookie = "; ".join(f"{it.name}={it.value}" for it in self.session.cookies)
        headers = {} if path == "/" else {"Cookie": cookie}
        where = f"ws://{socket['host']}{path}?id={socket['id']}"
        return connect(where, additional_headers=headers, proxy=None)


def kirimin():
    alice, bob, carol = [Kirimin(it) for it in ["alice", "bob", "carol"]]
    made = alice.call("POST", "/x/group/create", {"name": "kirimin"})
    group, link = made["roomid"], made["group"]["r"]["link"]
    check("Kirimin: invitation", bob.call("GET", f"/invite/{link}")["members"], 1)
    for person in [bob, carol]:
        person.call("POST", f"/x/group/join/{group}", {"link": link})
    sockets = [alice.socket("/socket"), bob.socket("/socket"), carol.socket("/")]
    target = PEOPLE["carol"]
    alice.call("POST", f"/x/group/kick/{group}/{target}", {})
    heard = [json.loads(it.recv(timeout=10)) for it in sockets]
    kinds = [(it["type"], it["from"], it["groupid"]) for it in heard]
    leave = ("memberleave", str(target), group)
    kick = ("memberkick", str(PEOPLE["alice"]), group)
    check("signals after a kick", kinds, [leave, leave, kick])
    check("32 digits and more than before", [len(it["key"]) for it in heard], [32, 32, 32])
    carol.call("POST", f"/x/group/join/{group}", {"link": link})
    joined = json.loads(sockets[0].recv(timeout=10))
    check("signal after a join", (joined["type"], joined["user"]["username"]), ("memberjoin", "carol"))
    for socket in sockets:
        socket.close()


def capillary():
    password = admin("Till/", name="till1")["token"]
    user = f"till1:{md5(password.encode()).hexdigest()}"

    def curl(*words):
        command = ["curl", "-sS", "-u", user, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return json.loads(done.stdout)

    where = f"{URL}/v2/userGroup2"
    body = json.dumps({"externalId": "e1", "groupName": "family", "maxGroupSize": 3})
    group = curl("-d", body, where)["entity"]
    users = [{"userId": PEOPLE["alice"], "primaryMember": True}, {"userId": PEOPLE["bob"]}]
    joined = curl("-d", json.dumps(users), f"{where}/join?id={group}")
    check("curl, Capillary: join", (joined["totalCount"], joined["failureCount"]), (2, 0))
    leave = f"{where}/{group}/leave?source=INSTORE&identifierName=mobile&identifierValue="
    done = curl("-X", "DELETE", leave + "886700001")
    check("leave", done, {"warnings": [], "errors": [], "success": True})
    done = curl("-X", "DELETE", leave + "886700001")
    check("leave again", [it["code"] for it in done["errors"]], [1620])
    curl("-X", "DELETE", leave + "886700000")
    check("the primary member leaves", curl(f"{where}?id={group}")["groupStatus"], "INACTIVE")


rocket_chat()
asyncio.run(bungie())
kirimin()
capillary()
print(f"the groups' clients: {checks} checks passed")
