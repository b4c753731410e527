-- Who may not come into a conference, by ban; of the same shape as every table.
CREATE TABLE room_bans    (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
