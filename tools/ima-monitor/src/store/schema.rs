// SPDX-License-Identifier: GPL-2.0

//! The tables. `user_version` says which of them there are.

use super::{Error, Result};
use sqlx::{Row, SqlitePool};

const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE hosts (
    id TEXT PRIMARY KEY NOT NULL,
    key BLOB NOT NULL,
    key_name TEXT NOT NULL,
    endorsement TEXT NOT NULL,
    activated INTEGER NOT NULL DEFAULT 0,
    approved INTEGER NOT NULL DEFAULT 0,
    proven TEXT,
    doubt INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER NOT NULL,
    proven_at INTEGER,
    version INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    host TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    record TEXT,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    acked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX open_findings ON findings (host, key) WHERE acked_at IS NULL;

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    finding INTEGER NOT NULL REFERENCES findings (id) ON DELETE CASCADE,
    action TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL DEFAULT 0,
    done_at INTEGER
) STRICT;

CREATE INDEX due_tasks ON tasks (next_at) WHERE done_at IS NULL;
";

/// Makes the tables, if there are none.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let row = sqlx::query("PRAGMA user_version").fetch_one(&mut *transaction);
    match row.await?.try_get::<i64, _>(0)? {
        0 => (),
        VERSION => return Ok(()),
        other => {
            return Err(Error::Content(format!(
                "its version is {other}, and this program knows {VERSION}"
            )));
        }
    }
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    let version = format!("PRAGMA user_version = {VERSION}");
    sqlx::raw_sql(&version).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
