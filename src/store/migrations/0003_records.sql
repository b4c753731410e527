-- Calls that are over and calls that are up, answers to requests that may come again, and member-id
-- marks; of the same shape as every table.
CREATE TABLE records      (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE calls        (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE repeats      (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE marks        (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
