"""Test with Plivo's SDK for Python against a running conflow."""

import plivo.rest.client

import plivo_conferences
import plivo_phones
import plivo_recordings
from bench import URL, Bench
from documents import Documents

# The SDK has no option for another host.
for name in (
    "PLIVO_API_BASE_URI",
    "API_VOICE_BASE_URI",
    "API_VOICE_BASE_URI_FALLBACK_1",
    "API_VOICE_BASE_URI_FALLBACK_2",
):
    assert hasattr(plivo.rest.client, name), f"the SDK has no {name} any more"
    setattr(plivo.rest.client, name, f"{URL}/v1/Account")

documents = Documents(plivo.plivoxml, plivo_conferences.conferences)
SECTIONS = plivo_conferences.SECTIONS + plivo_phones.SECTIONS + plivo_recordings.SECTIONS
Bench("plivo-python").run(*SECTIONS, *documents.sections())
