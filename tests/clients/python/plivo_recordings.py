"""Test of the recordings API with Plivo's SDK for Python."""

import time
import urllib.error
import urllib.request

import plivo
from plivo.exceptions import InvalidRequestError, ResourceNotFoundError, ValidationError

from bench import AUTH_ID, TOKEN, Phone, flow
from recordings import FILE_BYTES, record

client = plivo.RestClient(AUTH_ID, TOKEN)
recordings = client.recordings


def list_get_and_delete(bench):
    first = record(**{"from": "4930555010"})
    second = record(conference="weekly")
    third = record(runs=True)

    page = recordings.list()
    found = [it.recording_id for it in page]
    bench.check("recordings: all, latest first", found, [third, second, first])
    bench.check("recordings: counted", page.meta.total_count, 3)
    page = recordings.list(limit=2, offset=2)
    bench.check("recordings: a page", [it.recording_id for it in page], [first])
    of = lambda **filters: [it.recording_id for it in recordings.list(**filters)]
    bench.check("recordings: of a caller", of(from_number="4930555010"), [first])
    bench.check("recordings: of a conference", of(conference_name="weekly"), [second])
    bench.check("recordings: of a time", of(add_time__gt="2026-08-31 20:08"), [third, second, first])
    bench.check("recordings: older", of(add_time__lt="2026-08-31 20:08"), [])
    bench.check("recordings: stored for a day", of(recording_storage_duration=1), [third, second, first])
    bench.check("recordings: stored for longer", of(recording_storage_duration__gt=1), [])

    one = recordings.get(first)
    found = (one.recording_duration_ms, one.rounded_recording_duration, one.recording_format)
    bench.check("recordings: its length and format", found, ("1000.00000", 60, "wav"))
    found = (one.recording_type, one.conference_name, one.from_number, one.to_number)
    bench.check("recordings: its call", found, ("normal", None, "4930555010", "weekly"))
    path = f"/v1/Account/{AUTH_ID}/Recording/{first}/"
    bench.check("recordings: its resource", one.resource_uri, path)
    bench.check("recordings: its type", recordings.get(second).recording_type, "conference")
    bench.check("recordings: one that runs", recordings.get(third).recording_duration_ms, "0.00000")

    with urllib.request.urlopen(one.recording_url, timeout=10) as audio:
        found = (audio.status, audio.headers["Content-Type"], len(audio.read()))
    bench.check("recordings: its audio without credentials", found, (200, "audio/wav", FILE_BYTES))
    try:
        urllib.request.urlopen(one.recording_url + "x", timeout=10)
        found = 200
    except urllib.error.HTTPError as error:
        found = error.code
    bench.check("recordings: a wrong signature", found, 403)

    recordings.delete(first)
    bench.raises(
        "recordings: one that is deleted",
        ResourceNotFoundError,
        "recording not found",
        lambda: recordings.get(first),
    )
    bench.raises(
        "recordings: one that runs is not deleted",
        InvalidRequestError,
        "stop it first",
        lambda: recordings.delete(third),
    )
    bench.raises(
        "recordings: a strange time",
        ValidationError,
        "add_time__gt",
        lambda: recordings.list(add_time__gt="2026-13-31"),
    )
    recordings.delete(second)
    bench.check("recordings: the rest", of(), [third])


def start_and_stop(bench):
    document = plivo.plivoxml.ResponseElement().add_conference("recorded")
    phone = Phone(flow("recorded", document.to_string())).until("room recorded")
    room = client.conferences.record("recorded", file_format="wav")
    bench.check("recordings: a room", room.message, "conference recording started")
    call = client.calls.record(phone.uuid, time_limit=60, file_format="wav")
    bench.check("recordings: a call", call.message, "call recording started")
    bench.check("recordings: the URL names it", call.recording_id in call.url, True)
    runs = recordings.get(call.recording_id)
    bench.check("recordings: it runs", (runs.call_uuid, runs.recording_end_ms), (phone.uuid, None))
    client.conferences.record_stop("recorded")
    client.calls.record_stop(phone.uuid)
    for kind, begun in [("conference", room), ("normal", call)]:
        one = complete(begun.recording_id)
        found = (one.recording_type, one.recording_format, float(one.recording_duration_ms) < 10_000)
        bench.check(f"recordings: its {kind} is complete", found, (kind, "wav", True))
        recordings.delete(begun.recording_id)
    client.conferences.hangup("recorded")


def complete(recording_id):
    """Waits until the file of a recording is closed."""
    for _ in range(500):
        one = recordings.get(recording_id)
        if one.recording_end_ms is not None:
            return one
        time.sleep(0.01)
    raise AssertionError(f"{recording_id} does not end")


SECTIONS = [list_get_and_delete, start_and_stop]
