"""Recordings for tests of clients: rows and files, written into the data folder of a running server.

Environment variables set by the runner name the account and the folder.
"""

import datetime
import json
import os
import sqlite3
import uuid
import wave

DATA = os.environ["CLIENT_DATA"]
ACCOUNT = os.environ["CLIENT_ID"]

# A second of silence in one channel, with its header.
FILE_BYTES = 44 + 2 * 8_000
REASON = "HungUp"


def record(runs=False, **fields):
    """Adds a recording of a second that began a minute ago, and returns its id."""
    began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    micros = int(began.timestamp() * 1_000_000)
    recording = uuid.uuid4()
    row = {
        "id": str(recording),
        "call": str(uuid.uuid4()),
        "from": "14155550100",
        "to": "weekly",
        "api_id": str(uuid.uuid4()),
        "channels": 1,
        "format": "wav",
        "started_at": micros,
        **fields,
    }
    if not runs:
        end = {"at": micros + 1_000_000, "duration_us": 1_000_000, "bytes": FILE_BYTES}
        row["end"] = {**end, "lost_samples": 0, "format": "wav", "reason": REASON}
        write(os.path.join(DATA, "recordings", began.strftime("%Y/%m/%d"), f"{recording}.wav"))
    # As the server makes the key of the row.
    key = (recording.int >> 64 ^ recording.int) & (2**63 - 1)
    store = sqlite3.connect(os.path.join(DATA, "conflow.db"), timeout=10)
    with store:
        values = (ACCOUNT, micros, key, json.dumps(row))
        store.execute("INSERT INTO recordings (account, a, b, body) VALUES (?, ?, ?, ?)", values)
    store.close()
    return str(recording)


def write(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(FILE_BYTES - 44))
