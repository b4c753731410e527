"""Test of endpoints and applications with Plivo's SDK for Python."""

import plivo
from plivo.exceptions import ResourceNotFoundError, ValidationError

from bench import AUTH_ID, TOKEN

client = plivo.RestClient(AUTH_ID, TOKEN)
ANSWER = "https://app.example/answer"


def fields(found, *names):
    return tuple(getattr(found, name) for name in names)


def applications(bench):
    api = client.applications
    made = api.create("desk", answer_url=ANSWER, answer_method="GET", default_endpoint_app=True)
    found = (made.message, made.app_id.isdigit(), len(made.api_id))
    bench.check("application: it is made", found, ("created", True, 36))
    app = api.get(made.app_id)
    found = fields(app, "app_id", "app_name", "answer_url", "answer_method", "hangup_url")
    bench.check("application: get", found, (made.app_id, "desk", ANSWER, "GET", ANSWER))
    found = fields(app, "enabled", "default_endpoint_app", "public_uri", "sub_account")
    bench.check("application: its flags", found, (True, True, False, None))
    bench.check("application: its URI", app.sip_uri, f"sip:{made.app_id}@localhost")
    listed = api.list(limit=5)
    bench.check("application: list", [it.app_id for it in listed], [made.app_id])
    bench.check("application: list, the count", listed.meta["total_count"], 1)
    changed = api.update(made.app_id, answer_url=ANSWER, hangup_url="https://app.example/bye")
    bench.check("application: update", changed.message, "changed")
    found = fields(api.get(made.app_id), "hangup_url", "answer_method", "default_endpoint_app")
    # The SDK sends its own defaults for what is not given.
    expected = ("https://app.example/bye", "POST", False)
    bench.check("application: what has changed", found, expected)
    api.delete(made.app_id)
    bench.check("application: delete", list(api.list()), [])
    bench.raises(
        "application: it is gone",
        ResourceNotFoundError,
        "application not found",
        lambda: api.get(made.app_id),
    )
    bench.raises(
        "application: without a URL",
        ValidationError,
        "answer_url: missing",
        lambda: api.create("desk"),
    )


def endpoints(bench):
    api, apps = client.endpoints, client.applications
    app, other = (apps.create(name, answer_url=ANSWER).app_id for name in ("one", "other"))
    made = api.create("anna", "correct-horse", "Anna", app_id=app)
    bench.check("endpoint: it is made", fields(made, "message", "alias"), ("created", "Anna"))
    digits = made.username.removeprefix("anna")
    bench.check("endpoint: 12 digits", (len(digits), digits.isdigit()), (12, True))
    found = api.get(made.endpoint_id)
    uri = f"/v1/Account/{AUTH_ID}"
    bench.check(
        "endpoint: get",
        fields(found, "alias", "application", "endpoint_id", "resource_uri", "username"),
        (
            "Anna",
            f"{uri}/Application/{app}/",
            made.endpoint_id,
            f"{uri}/Endpoint/{made.endpoint_id}/",
            made.username,
        ),
    )
    found = fields(found, "sip_registered", "sip_uri", "sub_account")
    bench.check("endpoint: no phone", found, ("false", f"sip:{made.username}@localhost", None))
    listed = [it.username for it in api.list()]
    bench.check("endpoint: list", listed, [made.username])
    changed = api.update(made.endpoint_id, password="other-horse", alias="Anne", app_id=other)
    bench.check("endpoint: update", changed.message, "changed")
    found = fields(api.get(made.endpoint_id), "alias", "application")
    bench.check("endpoint: it has changed", found, ("Anne", f"{uri}/Application/{other}/"))
    apps.delete(other, cascade=False, new_endpoint_application=app)
    found = api.get(made.endpoint_id).application
    bench.check("endpoint: it moves to another application", found, f"{uri}/Application/{app}/")
    second = api.create("bert", "correct-horse", "Bert", app_id=app).endpoint_id
    api.delete(second)
    bench.check("endpoint: delete", [it.alias for it in api.list()], ["Anne"])
    apps.delete(app)
    bench.check("endpoint: it goes with its application", list(api.list()), [])
    bench.raises(
        "endpoint: a short password",
        ValidationError,
        "password: give 5 to 128 characters",
        lambda: api.create("anna", "four", "Anna"),
    )


SECTIONS = [applications, endpoints]
