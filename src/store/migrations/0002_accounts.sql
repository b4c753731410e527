-- Accounts and the hashes of their tokens, one row each. `conflow account` writes them, also while
-- an engine runs; the engine reads them.
CREATE TABLE accounts (account TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, a, b)) STRICT, WITHOUT ROWID;
