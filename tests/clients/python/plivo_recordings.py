"""Test of the recordings API with Plivo's SDK for Python."""

import urllib.error
import urllib.request

import plivo
from plivo.exceptions import InvalidRequestError, ResourceNotFoundError, ValidationError

from bench import AUTH_ID, TOKEN
from recordings import FILE_BYTES, record

recordings = plivo.RestClient(AUTH_ID, TOKEN).recordings


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


SECTIONS = [list_get_and_delete]
