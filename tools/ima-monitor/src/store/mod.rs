// SPDX-License-Identifier: GPL-2.0

//! What the monitor must not forget, in SQLite.
//!
//! A round is one transaction: the state of the host, what was found, and what is to be done about it.
//! It is on disk before the host is answered. Nothing in it is secret: keys are public ones.

mod schema;

use crate::{
    config::Action,
    finding::{Finding, Kind, Record},
    host::Proven,
    metrics::Stock,
    time,
};
use sqlx::{
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
    Row, Sqlite, Transaction,
};
use std::{fmt, path::Path, time::Duration};

/// Why the database did not do what it should.
#[derive(Debug)]
pub enum Error {
    /// SQLite says so.
    Database(sqlx::Error),
    /// What is in it is not what this program wrote.
    Content(String),
    /// Somebody else changed the host meanwhile.
    Changed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the database: {error}"),
            Self::Content(what) => write!(
                f,
                "the database holds what this program did not write: {what}"
            ),
            Self::Changed => f.write_str("the host was changed meanwhile: try again"),
        }
    }
}

impl std::error::Error for Error {}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

type Result<T> = std::result::Result<T, Error>;

/// What the administrator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Pending,
    /// It may attest.
    Approved,
}

impl State {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
        }
    }
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What it calls itself: a UUID, or another short name.
    pub id: String,
    /// TPM2B_PUBLIC of its attestation key.
    pub key: Vec<u8>,
    /// The Name of that key, in hexadecimal digits.
    pub key_name: String,
    /// SHA-256 of the TPM2B_PUBLIC of its endorsement key, in hexadecimal digits.
    pub endorsement: String,
    /// Has its TPM proven that both keys are in it?
    pub activated: bool,
    /// May it attest?
    pub state: State,
    /// How far it is proven.
    pub proven: Option<Proven>,
    /// Did the last round fail?
    pub doubt: bool,
    /// When it was last heard of, in seconds since 1970.
    pub seen_at: i64,
    /// When it last was proven.
    pub proven_at: Option<i64>,
    /// Grows with each round.
    version: i64,
}

/// A host that registers.
#[derive(Clone, Debug)]
pub struct NewHost<'a> {
    /// What it calls itself.
    pub id: &'a str,
    /// TPM2B_PUBLIC of its attestation key.
    pub key: &'a [u8],
    /// The Name of that key.
    pub key_name: &'a str,
    /// SHA-256 of its endorsement key.
    pub endorsement: &'a str,
}

/// A finding that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number.
    pub id: i64,
    /// The host.
    pub host: String,
    /// What was found.
    pub finding: Finding,
    /// When it was found first.
    pub first_at: i64,
    /// When it was found last.
    pub last_at: i64,
    /// How often.
    pub times: i64,
}

/// Something that is to be done.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number.
    pub id: i64,
    /// The name of the action.
    pub action: String,
    /// How often it was tried.
    pub attempts: i64,
    /// What it is about.
    pub about: Kept,
}

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or was written by a newer version of this program.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // a round that was answered must survive a loss of power
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(4);
        let pool = pool.connect_with(options).await?;
        schema::migrate(&pool).await?;
        Ok(Self { pool })
    }

    /// Adds a host that waits for approval. Gives the one of that name if there is one already, with
    /// whatever keys that has.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn register(&self, new: NewHost<'_>) -> Result<Host> {
        let insert =
            "INSERT INTO hosts (id, key, key_name, endorsement, seen_at) VALUES (?, ?, ?, ?, ?) \
                      ON CONFLICT (id) DO NOTHING";
        sqlx::query(insert)
            .bind(new.id)
            .bind(new.key)
            .bind(new.key_name)
            .bind(new.endorsement)
            .bind(time::now())
            .execute(&self.pool)
            .await?;
        let host = self.host(new.id).await?;
        host.ok_or(Error::Changed)
    }

    /// How many hosts wait for approval.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn pending(&self) -> Result<i64> {
        let count = sqlx::query("SELECT COUNT(*) FROM hosts WHERE approved = 0");
        Ok(count.fetch_one(&self.pool).await?.try_get(0)?)
    }

    /// A host.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn host(&self, id: &str) -> Result<Option<Host>> {
        let select = sqlx::query("SELECT * FROM hosts WHERE id = ?").bind(id);
        let row = select.fetch_optional(&self.pool).await?;
        row.map(|row| host(&row)).transpose()
    }

    /// All hosts, by name.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn hosts(&self) -> Result<Vec<Host>> {
        let rows = sqlx::query("SELECT * FROM hosts ORDER BY id");
        rows.fetch_all(&self.pool).await?.iter().map(host).collect()
    }

    /// Its TPM has proven that it has both keys.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn activated(&self, id: &str) -> Result<()> {
        let update = sqlx::query("UPDATE hosts SET activated = 1 WHERE id = ?");
        update.bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Lets a host attest whose key has this Name.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] if there is no such host; the database fails.
    pub async fn approve(&self, id: &str, key_name: &str) -> Result<()> {
        let update = "UPDATE hosts SET approved = 1, seen_at = ? WHERE id = ? AND key_name = ?";
        let update = sqlx::query(update).bind(time::now());
        let done = update.bind(id).bind(key_name).execute(&self.pool).await?;
        match done.rows_affected() {
            0 => Err(Error::Changed),
            _ => Ok(()),
        }
    }

    /// Forgets a host, with what was found on it.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn forget(&self, id: &str) -> Result<bool> {
        let delete = sqlx::query("DELETE FROM hosts WHERE id = ?");
        let done = delete.bind(id).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps what came of a round that began with `before`, all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] if another round of that host was kept meanwhile; the database fails.
    pub async fn keep(
        &self,
        before: &Host,
        proven: Option<&Proven>,
        findings: &[Finding],
        actions: &[Action],
    ) -> Result<()> {
        let now = time::now();
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let written = proven.map(serde_json::to_string).transpose();
        let written = written.map_err(|error| Error::Content(error.to_string()))?;
        let update = "UPDATE hosts SET proven = COALESCE(?, proven), doubt = ?, seen_at = ?, \
                      proven_at = COALESCE(?, proven_at), version = version + 1 \
                      WHERE id = ? AND version = ?";
        let done = sqlx::query(update)
            .bind(&written)
            .bind(proven.is_none())
            .bind(now)
            .bind(proven.map(|_| now))
            .bind(&before.id)
            .bind(before.version)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() != 1 {
            return Err(Error::Changed);
        }
        for finding in findings {
            add(&mut transaction, &before.id, finding, actions, now).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Keeps a finding that no round gave.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn find(&self, host: &str, finding: &Finding, actions: &[Action]) -> Result<()> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        add(&mut transaction, host, finding, actions, time::now()).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Findings that nobody has acknowledged, oldest first.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn findings(&self) -> Result<Vec<Kept>> {
        let select = sqlx::query("SELECT * FROM findings WHERE acked_at IS NULL ORDER BY id");
        select
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(kept)
            .collect()
    }

    /// What there is, in numbers.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn stock(&self) -> Result<Stock> {
        let hosts = "SELECT COALESCE(SUM(approved = 0), 0), COALESCE(SUM(approved), 0), \
                     COALESCE(SUM(approved AND doubt), 0), \
                     (SELECT COUNT(*) FROM tasks WHERE done_at IS NULL) FROM hosts";
        let hosts = sqlx::query(hosts).fetch_one(&self.pool).await?;
        let findings = "SELECT kind, COUNT(*) FROM findings WHERE acked_at IS NULL GROUP BY kind";
        let findings = sqlx::query(findings).fetch_all(&self.pool).await?;
        let findings = findings.iter().map(|row| {
            let kind: String = row.try_get(0)?;
            let kind = serde_json::from_str(&kind);
            let kind = kind.map_err(|error| Error::Content(error.to_string()))?;
            Ok((kind, row.try_get(1)?))
        });
        Ok(Stock {
            pending: hosts.try_get(0)?,
            approved: hosts.try_get(1)?,
            doubted: hosts.try_get(2)?,
            findings: findings.collect::<Result<_>>()?,
            actions: hosts.try_get(3)?,
        })
    }

    /// Somebody has seen to this one. Was it open?
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn acknowledge(&self, id: i64) -> Result<bool> {
        let update = "UPDATE findings SET acked_at = ? WHERE id = ? AND acked_at IS NULL";
        let update = sqlx::query(update).bind(time::now()).bind(id);
        Ok(update.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Tasks that are due, oldest first.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn due(&self, limit: i64) -> Result<Vec<Task>> {
        let select =
            "SELECT findings.*, tasks.id AS task, tasks.action, tasks.attempts FROM tasks \
                      JOIN findings ON findings.id = tasks.finding \
                      WHERE tasks.done_at IS NULL AND tasks.next_at <= ? ORDER BY tasks.id LIMIT ?";
        let rows = sqlx::query(select).bind(time::now()).bind(limit);
        let rows = rows.fetch_all(&self.pool).await?;
        let tasks = rows.iter().map(|row| {
            Ok(Task {
                id: row.try_get("task")?,
                action: row.try_get("action")?,
                attempts: row.try_get("attempts")?,
                about: kept(row)?,
            })
        });
        tasks.collect()
    }

    /// It was done.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn done(&self, task: i64) -> Result<()> {
        let update = "UPDATE tasks SET done_at = ?, attempts = attempts + 1 WHERE id = ?";
        let update = sqlx::query(update).bind(time::now()).bind(task);
        update.execute(&self.pool).await?;
        Ok(())
    }

    /// It failed, and is to be tried again after so many seconds.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn postpone(&self, task: i64, seconds: i64) -> Result<()> {
        let update = "UPDATE tasks SET next_at = ?, attempts = attempts + 1 WHERE id = ?";
        let update = sqlx::query(update).bind(time::now().saturating_add(seconds));
        update.bind(task).execute(&self.pool).await?;
        Ok(())
    }
}

/// Adds a finding, and what is to be done about it; or counts it, if it is open already.
async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    host: &str,
    finding: &Finding,
    actions: &[Action],
    now: i64,
) -> Result<()> {
    let update = "UPDATE findings SET times = times + 1, last_at = ?, text = ? \
                  WHERE host = ? AND key = ? AND acked_at IS NULL";
    let known = sqlx::query(update)
        .bind(now)
        .bind(&finding.text)
        .bind(host)
        .bind(&finding.key)
        .execute(&mut **transaction)
        .await?;
    if known.rows_affected() > 0 {
        return Ok(());
    }
    let unwritable = |error: serde_json::Error| Error::Content(error.to_string());
    let kind = serde_json::to_string(&finding.kind).map_err(unwritable)?;
    let record = finding.record.as_ref().map(serde_json::to_string);
    let insert = "INSERT INTO findings (host, kind, key, text, record, first_at, last_at) \
                  VALUES (?, ?, ?, ?, ?, ?, ?)";
    let added = sqlx::query(insert)
        .bind(host)
        .bind(kind)
        .bind(&finding.key)
        .bind(&finding.text)
        .bind(record.transpose().map_err(unwritable)?)
        .bind(now)
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    for action in actions.iter().filter(|action| action.wants(finding.kind)) {
        sqlx::query("INSERT INTO tasks (finding, action) VALUES (?, ?)")
            .bind(added.last_insert_rowid())
            .bind(&action.name)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn read<'de, T: serde::Deserialize<'de>>(json: &'de str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::Content(error.to_string()))
}

fn host(row: &SqliteRow) -> Result<Host> {
    let proven: Option<&str> = row.try_get("proven")?;
    let approved: bool = row.try_get("approved")?;
    Ok(Host {
        id: row.try_get("id")?,
        key: row.try_get("key")?,
        key_name: row.try_get("key_name")?,
        endorsement: row.try_get("endorsement")?,
        activated: row.try_get("activated")?,
        state: match approved {
            true => State::Approved,
            false => State::Pending,
        },
        proven: proven.map(read).transpose()?,
        doubt: row.try_get("doubt")?,
        seen_at: row.try_get("seen_at")?,
        proven_at: row.try_get("proven_at")?,
        version: row.try_get("version")?,
    })
}

fn kept(row: &SqliteRow) -> Result<Kept> {
    let record: Option<&str> = row.try_get("record")?;
    let kind: &str = row.try_get("kind")?;
    Ok(Kept {
        id: row.try_get("id")?,
        host: row.try_get("host")?,
        finding: Finding {
            kind: read::<Kind>(kind)?,
            key: row.try_get("key")?,
            text: row.try_get("text")?,
            record: record.map(read::<Record>).transpose()?,
        },
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
        times: row.try_get("times")?,
    })
}

#[cfg(test)]
mod tests;
