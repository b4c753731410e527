-- Recordings, by the time of their first sample in microseconds and a tie-breaker. They are not read at
-- the start, so there are columns and indexes for what requests ask for. The columns follow from the
-- body. `bytes` is NULL while the recording runs.
CREATE TABLE recordings (
    account    TEXT NOT NULL,
    a          INTEGER NOT NULL,
    b          INTEGER NOT NULL,
    body       TEXT NOT NULL,
    id         TEXT AS (body ->> '$.id') STORED,
    call       TEXT AS (body ->> '$.call') STORED,
    caller     TEXT AS (body ->> '$.from') STORED,
    callee     TEXT AS (body ->> '$.to') STORED,
    conference TEXT AS (body ->> '$.conference') STORED,
    bytes      INTEGER AS (body ->> '$.end.bytes') STORED,
    PRIMARY KEY (account, a, b)
) STRICT, WITHOUT ROWID;

CREATE INDEX recordings_id ON recordings (account, id);
CREATE INDEX recordings_call ON recordings (account, call, a);
CREATE INDEX recordings_caller ON recordings (account, caller, a);
CREATE INDEX recordings_callee ON recordings (account, callee, a);
CREATE INDEX recordings_conference ON recordings (account, conference, a)
    WHERE conference IS NOT NULL;
CREATE INDEX recordings_running ON recordings (account, a) WHERE bytes IS NULL;
-- So that a list without a filter counts its rows without reading them.
CREATE INDEX recordings_time ON recordings (account, a, b);
