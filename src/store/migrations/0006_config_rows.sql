-- Endpoints (a = 0), numbers (1) and trunks (2); b rises and tells them apart.
CREATE TABLE config_rows (
  account TEXT NOT NULL,
  a INTEGER NOT NULL,
  b INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (account, a, b)
) STRICT, WITHOUT ROWID;
