"""Test of the recordings API with Vobiz' SDK for Python, and with the types of Vobiz' strict models."""

import json
import urllib.request

import vobiz
from vobiz.exceptions import ResourceNotFoundError

from bench import AUTH_ID, TOKEN, URL
from recordings import FILE_BYTES, record

# The models forbid other fields. Those in OPTIONAL may be null.
RECORDING = {
    "add_time": str,
    "call_uuid": str,
    "conference_name": str,
    "from_number": str,
    "monthly_recording_storage_amount": int,
    "recording_duration_ms": str,
    "recording_end_ms": str,
    "recording_format": str,
    "recording_id": str,
    "recording_start_ms": str,
    "recording_storage_duration": int,
    "recording_storage_rate": float,
    "recording_type": str,
    "recording_url": str,
    "resource_uri": str,
    "rounded_recording_duration": int,
    "to_number": str,
}
META = {"limit": int, "next": str, "offset": int, "previous": str, "total_count": int}
OPTIONAL = {"conference_name", "recording_end_ms", "recording_start_ms", "previous"}


def ask(path):
    request = urllib.request.Request(f"{URL}/api/v1/Account/{AUTH_ID}/Recording/{path}")
    request.add_header("X-Auth-ID", AUTH_ID)
    request.add_header("X-Auth-Token", TOKEN)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def misfits(model, found):
    """The fields that are missing, unknown, or of another type."""
    names = set(model) ^ set(found)
    is_good = lambda name: found[name] is None and name in OPTIONAL or (
        type(found[name]) is model[name]
    )
    return sorted(names | {name for name in set(model) & set(found) if not is_good(name)})


def strict_models(bench):
    ids = [record(), record(conference="weekly"), record(runs=True)]
    for what, path in [("the first page", "?limit=2"), ("the last page", "?limit=2&offset=2")]:
        body = ask(path)
        found = [misfits({"api_id": str, "meta": dict, "objects": list}, body)]
        found += [misfits(META, body["meta"])] + [misfits(RECORDING, it) for it in body["objects"]]
        bench.check(f"strict: {what}", found, [[]] * len(found))
    bench.check("strict: no next page is no null", body["meta"]["next"], "")
    for recording in ids:
        found = misfits({"api_id": str, **RECORDING}, ask(f"{recording}/"))
        bench.check("strict: a recording", found, [])


def list_get_and_delete(bench):
    # The SDK notes the host when a client is made.
    recordings = vobiz.RestClient(AUTH_ID, TOKEN).recordings
    page = recordings.list(limit=100)
    found = [it.recording_id for it in page.objects]
    bench.check("recordings: counted", page.meta.total_count, 3)
    running, second, first = found
    of = lambda **filters: [it.recording_id for it in recordings.list(**filters).objects]
    bench.check("recordings: of conferences", of(recording_type="conference"), [second])
    bench.check("recordings: of trunks", of(recording_type="trunk"), [])
    one = recordings.get(first)
    bench.check("recordings: of a call", of(call_uuid=one.call_uuid), [first])
    found = (one.recording_type, one.recording_duration_ms, one.rounded_recording_duration)
    bench.check("recordings: one", found, ("call", "1000", 60))
    with urllib.request.urlopen(one.recording_url, timeout=10) as audio:
        bench.check("recordings: its audio", len(audio.read()), FILE_BYTES)
    recordings.delete(first)
    bench.raises(
        "recordings: one that is deleted",
        ResourceNotFoundError,
        "Recording not found",
        lambda: recordings.get(first),
    )
    bench.check("recordings: the rest", of(), [running, second])


SECTIONS = [strict_models, list_get_and_delete]
