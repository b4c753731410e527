-- People, groups, and who may ask. Every table has the same shape: whose row it is, a key of two
-- numbers, and what it says as JSON. All rows are read at the start, so there are no indexes.
CREATE TABLE people       (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE groups       (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE members      (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE bans         (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE applications (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE audit        (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE tokens       (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE passwords    (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
CREATE TABLE folder       (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
