-- Answered time of accounts through trunks: a is the hour since 1970, b a hash of the trunk's name.
CREATE TABLE trunk_minutes (
  account TEXT NOT NULL,
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (account, a, b)
) STRICT, WITHOUT ROWID;
