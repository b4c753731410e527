"""Test with Vobiz' SDK for Python against a running conflow."""

import vobiz.rest.client

import vobiz_conferences
import vobiz_recordings
from bench import URL, Bench
from documents import Documents

# The SDK has no option for another host.
assert hasattr(
    vobiz.rest.client, "VOBIZ_API_BASE_URI"
), "the SDK has no VOBIZ_API_BASE_URI any more"
vobiz.rest.client.VOBIZ_API_BASE_URI = f"{URL}/api/v1/Account"

conferences = vobiz_conferences.Conferences()
documents = Documents(vobiz.vobizxml, conferences)
Bench("vobiz-python").run(
    *conferences.sections(), *vobiz_recordings.SECTIONS, *documents.sections()
)
