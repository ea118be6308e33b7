//! The thread that writes: what waits is committed together, and each job fails alone.

use super::{
    Durability, WriteJob,
    checkpoints::Wal,
    queue::Queue,
    statements::{self, Failed},
};
use crate::store::StoreError;
use rusqlite::Connection;

/// Most writes that one commit takes.
pub const GROUP_MAX: usize = 128;

pub(super) fn write_until_closed(
    connection: &Connection,
    writes: &Queue<WriteJob>,
    usual: Durability,
    mut wal: Wal<'_>,
) {
    loop {
        let mut jobs = writes.pop_many(GROUP_MAX);
        if jobs.is_empty() {
            break;
        }
        jobs.retain(|job| !job.answer.is_closed());
        let results = commit(connection, &jobs, usual);
        for (job, result) in jobs.into_iter().zip(results) {
            // Whoever asked may have given up waiting.
            drop(job.answer.send(result));
        }
        wal.written(connection);
    }
}

fn commit(connection: &Connection, jobs: &[WriteJob], usual: Durability) -> Vec<Result<(), StoreError>> {
    match try_commit_as_asked(connection, jobs, usual) {
        Ok(results) => results.into_iter().map(|result| result.map_err(StoreError::from)).collect(),
        Err(failed) => {
            roll_back(connection);
            let error = StoreError::from(failed);
            let text = error.to_string();
            let mut first = Some(error);
            jobs.iter().map(|_| Err(first.take().unwrap_or(StoreError::Unavailable(text.clone())))).collect()
        }
    }
}

/// One that asks for more than is usual gives it to all that are committed with it.
fn try_commit_as_asked(
    connection: &Connection,
    jobs: &[WriteJob],
    usual: Durability,
) -> Result<Vec<Result<(), Failed>>, Failed> {
    let Some(job) = jobs.iter().find(|job| job.durability != usual) else { return try_commit(connection, jobs) };
    synchronise(connection, job.durability)?;
    let committed = try_commit(connection, jobs);
    if committed.is_err() {
        roll_back(connection);
    }
    synchronise(connection, usual)?;
    committed
}

/// SQLite takes it in where it prepares the text, so that a text that is kept prepared would do nothing.
fn synchronise(connection: &Connection, durability: Durability) -> Result<(), Failed> {
    Ok(connection.execute_batch(&format!("PRAGMA synchronous = {}", durability.synchronous()))?)
}

fn try_commit(connection: &Connection, jobs: &[WriteJob]) -> Result<Vec<Result<(), Failed>>, Failed> {
    if let [job] = jobs {
        statements::begin(connection, "BEGIN IMMEDIATE")?;
        let result = steps(connection, job);
        if result.is_err() {
            roll_back(connection);
            return Ok(vec![result]);
        }
        statements::begin(connection, "COMMIT")?;
        return Ok(vec![result]);
    }
    statements::begin(connection, "BEGIN IMMEDIATE")?;
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        statements::begin(connection, "SAVEPOINT job")?;
        let result = steps(connection, job);
        if result.is_err() {
            statements::begin(connection, "ROLLBACK TO job")?;
        }
        statements::begin(connection, "RELEASE job")?;
        results.push(result);
    }
    statements::begin(connection, "COMMIT")?;
    Ok(results)
}

fn steps(connection: &Connection, job: &WriteJob) -> Result<(), Failed> {
    job.steps.iter().try_for_each(|step| statements::write(connection, step))
}

/// Some errors have ended the transaction already.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(failed) = statements::begin(connection, "ROLLBACK")
    {
        tracing::error!(error = %StoreError::from(failed), "a transaction could not be rolled back");
    }
}
