//! A database of read models, or of what stands beside them: SQLite in memory and on the world's own thread.
//!
//! One write at a time, in the order in which they came. A write may fail before it is done, or be done and not be
//! heard of; the disk may stand still for longer than anybody waits; and a power cut loses the last commits that were
//! not synced, never one before another.

use crate::{
    dice::{Dice, index},
    process::Process,
    weather::Weather,
};
use advisor_projections::{Row, Statement, Store, StoreError, Value, Write};
use async_trait::async_trait;
use rusqlite::{
    CachedStatement, Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Longest that anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Statements that are kept prepared: as many as the product keeps.
const STATEMENTS_CACHED_MAX: usize = 256;

/// A database of a world.
pub(crate) struct SimStore {
    name: &'static str,
    weather: Arc<Weather>,
    dice: Dice,
    /// Whose turn it is to write.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// All commits, of which the first `synced` survive a power cut.
    commits: Vec<Vec<Write>>,
    synced: usize,
    /// Who has made itself the owner last.
    owner: Option<String>,
    /// How often the power was cut: what was on its way then never arrives.
    cuts: u64,
}

/// How a step of a write ended.
#[derive(Debug)]
enum Failed {
    Guard,
    Sqlite(rusqlite::Error),
}

impl SimStore {
    /// An empty database.
    pub(crate) fn open(name: &'static str, weather: &Arc<Weather>) -> Arc<Self> {
        let state = State { connection: connection(), commits: Vec::new(), synced: 0, owner: None, cuts: 0 };
        Arc::new(Self {
            name,
            weather: Arc::clone(weather),
            dice: weather.dice(name),
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// The database as a process reaches it.
    pub(crate) fn of(self: &Arc<Self>, process: &Arc<Process>) -> Arc<dyn Store> {
        Arc::new(StoreOf { process: Arc::clone(process), store: Arc::clone(self) })
    }

    /// The power is gone, and with it the last commits.
    pub(crate) fn cut_power(&self) {
        let mut state = self.state.lock().unwrap();
        let at_risk = state.commits.len() - state.synced;
        let kept = state.synced + index(self.dice.roll(at_risk as u64 + 1));
        self.weather
            .note(self.name, &format!("loses {} of {} commits", state.commits.len() - kept, state.commits.len()));
        state.connection = connection();
        state.commits.truncate(kept);
        state.cuts += 1;
        state.synced = kept;
        for commit in &state.commits {
            commit_to(&state.connection, commit).expect("what was committed once is committed again");
        }
    }

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.weather.delay(&self.dice, 0..4).await;
        if self.weather.strikes(&self.dice, 10) {
            return Err(unavailable("nobody answers"));
        }
        let answer = {
            let state = self.state.lock().unwrap();
            statements.iter().map(|statement| query(&state.connection, statement)).collect::<Result<_, _>>()
        };
        // Much can have happened when the answer arrives.
        self.weather.delay(&self.dice, 0..4).await;
        answer.map_err(broken)
    }

    async fn write(&self, who: &str, steps: Vec<Write>, durability: Durability) -> Result<(), StoreError> {
        let cuts = self.state.lock().unwrap().cuts;
        let _turn = self.turn.lock().await;
        let stands_still = self.weather.strikes(&self.dice, 5);
        self.weather.delay(&self.dice, if stands_still { 2_000..8_000 } else { 0..8 }).await;
        if self.weather.strikes(&self.dice, 15) || self.state.lock().unwrap().cuts != cuts {
            return Err(unavailable("nobody answers"));
        }
        let written = self.commit(who, steps, durability);
        if self.weather.strikes(&self.dice, 15) {
            return Err(unavailable("the answer was lost"));
        }
        written
    }

    fn commit(&self, who: &str, steps: Vec<Write>, durability: Durability) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap();
        let drafts = drafts(&state.connection);
        match commit_to(&state.connection, &steps) {
            Ok(()) => {}
            Err(Failed::Guard) => {
                self.weather.note(self.name, &format!("refuses {who}"));
                return Err(StoreError::Superseded);
            }
            Err(Failed::Sqlite(error)) => return Err(broken(error)),
        }
        self.weather.note(self.name, &format!("takes {} steps of {who}", steps.len()));
        self.check_owner(&mut state, who, &steps);
        self.check_drafts(&drafts, &state.connection, who);
        state.commits.push(steps);
        if durability == Durability::Now || self.dice.happens(250) {
            state.synced = state.commits.len();
        }
        Ok(())
    }

    /// Whoever moves the checkpoint is the one that made itself the owner last.
    fn check_owner(&self, state: &mut State, who: &str, steps: &[Write]) {
        for step in steps {
            let (Write::Run(statement) | Write::Guard(statement)) = step else { continue };
            if statement.sql.starts_with("UPDATE checkpoint SET fence") {
                state.owner = Some(who.to_owned());
            } else if statement.sql.starts_with("UPDATE checkpoint") && state.owner.as_deref() != Some(who) {
                self.weather.wrong(format!("{who} writes, and {:?} is the owner", state.owner));
            }
        }
    }

    /// A draft goes to a higher attempt, never to a lower one, nor to somebody else in the same one.
    fn check_drafts(&self, before: &BTreeMap<String, (i64, String)>, connection: &Connection, who: &str) {
        for (reply, (attempt, owner)) in drafts(connection) {
            if before.get(&reply).is_some_and(|was| attempt < was.0 || (attempt == was.0 && owner != was.1)) {
                self.weather.wrong(format!("{who} takes the draft of {reply} back to attempt {attempt}"));
            }
        }
    }
}

/// When a commit is safe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Now,
    Sometime,
}

/// The database as a process reaches it.
struct StoreOf {
    process: Arc<Process>,
    store: Arc<SimStore>,
}

impl StoreOf {
    async fn write(&self, steps: Vec<Write>, durability: Durability) -> Result<(), StoreError> {
        let (store, who) = (Arc::clone(&self.store), self.process.name.clone());
        let written = self.process.call(async move { store.write(&who, steps, durability).await });
        tokio::time::timeout(PATIENCE, written).await.unwrap_or_else(|_| Err(unavailable("no answer in time")))
    }
}

#[async_trait]
impl Store for StoreOf {
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        let store = Arc::clone(&self.store);
        self.process.call(async move { store.read(statements).await }).await
    }

    async fn write(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.write(steps, Durability::Sometime).await
    }

    async fn write_durably(&self, steps: Vec<Write>) -> Result<(), StoreError> {
        self.write(steps, Durability::Now).await
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn copy_to(&self, _path: &Path) -> Result<(), StoreError> {
        Err(unavailable("nothing here is copied"))
    }

    async fn close(&self) {}
}

/// By reply, the attempt and the owner of its draft; nothing, where there are no drafts.
fn drafts(connection: &Connection) -> BTreeMap<String, (i64, String)> {
    let Ok(mut drafts) = connection.prepare_cached("SELECT reply_id, attempt, owner FROM drafts") else {
        return BTreeMap::new();
    };
    let draft = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
    drafts.query_map([], draft).and_then(Iterator::collect).expect("drafts")
}

fn connection() -> Connection {
    let connection = Connection::open_in_memory().expect("a database in memory");
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection
}

fn commit_to(connection: &Connection, steps: &[Write]) -> Result<(), Failed> {
    connection.execute_batch("BEGIN").map_err(Failed::Sqlite)?;
    let done = steps.iter().try_for_each(|step| do_step(connection, step));
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(Failed::Sqlite)?;
    done
}

fn do_step(connection: &Connection, step: &Write) -> Result<(), Failed> {
    match step {
        Write::Run(statement) => execute(connection, &statement.sql, &statement.params).map(drop),
        Write::Guard(statement) => match execute(connection, &statement.sql, &statement.params)? {
            1 => Ok(()),
            _ => Err(Failed::Guard),
        },
        Write::Each { sql, params } => params.iter().try_for_each(|params| execute(connection, sql, params).map(drop)),
    }
}

fn execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<usize, Failed> {
    let mut prepared = connection.prepare_cached(sql).map_err(Failed::Sqlite)?;
    bind(&mut prepared, params).map_err(Failed::Sqlite)?;
    prepared.raw_execute().map_err(Failed::Sqlite)
}

fn query(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, rusqlite::Error> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    bind(&mut prepared, &statement.params)?;
    let columns = prepared.column_count();
    let mut rows = prepared.raw_query();
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..columns).map(|column| row.get_ref(column).map(value)).collect::<Result<_, _>>()?;
        answer.push(Row(cells));
    }
    Ok(answer)
}

/// To SQLite `$3` is a name, not a number.
fn bind(statement: &mut CachedStatement<'_>, params: &[Value]) -> Result<(), rusqlite::Error> {
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place).expect("a named parameter");
        let number: usize = name.trim_start_matches('$').parse().expect("a number");
        statement.raw_bind_parameter(place, Bound(&params[number - 1]))?;
    }
    Ok(())
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(int) => ValueRef::Integer(*int),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).expect("text")),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes errors by value.")]
fn broken(error: rusqlite::Error) -> StoreError {
    StoreError::Broken(error.to_string())
}
