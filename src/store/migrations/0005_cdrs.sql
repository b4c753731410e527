-- Call detail records (CDRs), by the time of their end in microseconds and a tie-breaker. Unlike
-- other tables, they are not read at the start, so there are columns and indexes for what requests
-- ask for. The columns follow from the body; they are not generated ones, which no index covers.
CREATE TABLE cdrs (
    account   TEXT NOT NULL,
    a         INTEGER NOT NULL,
    b         INTEGER NOT NULL,
    body      TEXT NOT NULL,
    call      TEXT,
    caller    TEXT,
    callee    TEXT,
    direction TEXT NOT NULL DEFAULT '',
    parent    TEXT,
    cause     INTEGER,
    source    TEXT,
    talked    INTEGER,
    PRIMARY KEY (account, a, b)
) STRICT, WITHOUT ROWID;

INSERT INTO cdrs
    SELECT account, body ->> '$.ended_at', a, body,
        body ->> '$.call.call', body ->> '$.call.from', body ->> '$.call.to',
        body ->> '$.call.direction', body ->> '$.call.parent', body ->> '$.cause', body ->> '$.source',
        max(0, coalesce((body ->> '$.ended_at') - (body ->> '$.call.answered_at'), 0)) / 1000000
    FROM records;
CREATE INDEX cdrs_call ON cdrs (account, call);

-- Calls that were up when an earlier version was killed end now: with cause 5010, at the latest time
-- that a row has.
INSERT INTO cdrs
    SELECT account, at, a, body,
        body ->> '$.call.call', body ->> '$.call.from', body ->> '$.call.to',
        body ->> '$.call.direction', body ->> '$.call.parent', body ->> '$.cause', body ->> '$.source',
        max(0, coalesce((body ->> '$.ended_at') - (body ->> '$.call.answered_at'), 0)) / 1000000
    FROM (SELECT calls.account, latest.at, calls.a, json_object(
            'call', json(body), 'ended_at', latest.at, 'cause', 5010,
            'source', iif(body ->> '$.dialect' = 'vobiz', 'Vobiz', 'Plivo'), 'sound', NULL) AS body
        FROM calls, (SELECT max(at) AS at FROM (
            SELECT max(a) AS at FROM cdrs
            UNION ALL
            SELECT max(coalesce(body ->> '$.answered_at', body ->> '$.began_at')) FROM calls)) AS latest
        WHERE NOT EXISTS (SELECT 1 FROM cdrs INDEXED BY cdrs_call
            WHERE cdrs.account = calls.account AND cdrs.call = calls.body ->> '$.call'));
DROP TABLE records;
DROP TABLE calls;

CREATE INDEX cdrs_caller ON cdrs (account, caller, a);
CREATE INDEX cdrs_callee ON cdrs (account, callee, a);
CREATE INDEX cdrs_parent ON cdrs (account, parent, a) WHERE parent IS NOT NULL;
-- For filters that most records pass, or that few ask for: it is a tenth of the table.
CREATE INDEX cdrs_facts ON cdrs (account, a, b, direction, cause, source, talked);

-- The number of records of each hour, so that a list knows its length, and the place of a page.
CREATE TABLE cdr_hours (
    account TEXT NOT NULL, hour INTEGER NOT NULL, direction TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (account, hour, direction)
) STRICT, WITHOUT ROWID;
INSERT INTO cdr_hours
    SELECT account, a / 3600000000, direction, count(*) FROM cdrs GROUP BY 1, 2, 3;
CREATE TRIGGER cdr_added AFTER INSERT ON cdrs BEGIN
    INSERT INTO cdr_hours VALUES (new.account, new.a / 3600000000, new.direction, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER cdr_removed AFTER DELETE ON cdrs BEGIN
    UPDATE cdr_hours SET count = count - 1
        WHERE account = old.account AND hour = old.a / 3600000000 AND direction = old.direction;
    DELETE FROM cdr_hours
        WHERE account = old.account AND hour = old.a / 3600000000 AND direction = old.direction
        AND count = 0;
END;
