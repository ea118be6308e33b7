//! What a database of read models is, to everybody else. One SQL text serves every adapter.

#[cfg(test)]
pub(crate) mod contract;

use advisor_eventlog::Position;
use advisor_events::{StreamName, Timestamp};
use async_trait::async_trait;
use std::{borrow::Cow, path::Path, vec};

/// One cell of a row, or one parameter of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// An integer: numbers, times in milliseconds, positions, 0 and 1 for no and yes.
    Int(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text: ids, words, JSON.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A text of SQL with `$1` to `$n`, and what stands for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text; a placeholder may stand in it more than once.
    pub sql: Cow<'static, str>,
    /// The value of `$1`, of `$2` …
    pub params: Vec<Value>,
    /// Where the answer ends, whatever is left: with the first row, but the very first, that takes it beyond so many
    /// bytes of text.
    pub bytes_max: usize,
}

impl Statement {
    /// A statement with its parameters.
    pub fn new(sql: impl Into<Cow<'static, str>>, params: Vec<Value>) -> Self {
        Self { sql: sql.into(), params, bytes_max: usize::MAX }
    }

    /// The same, whose answer ends soon after so many bytes.
    pub(crate) fn within(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }
}

/// A step of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Runs the statement.
    Run(Statement),
    /// Runs the statement, which must touch exactly one row: otherwise nothing of the write happens
    /// ([`StoreError::Superseded`]).
    Guard(Statement),
    /// Runs one text once for every list of parameters.
    Each {
        /// The text.
        sql: Cow<'static, str>,
        /// The parameters of each run.
        params: Vec<Vec<Value>>,
    },
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

/// The cells of a row, taken from left to right.
pub struct Cells(vec::IntoIter<Value>);

/// A row does not have the shape that its reader expects.
#[derive(Debug, thiserror::Error)]
#[error("a cell of a read model's row is no {0}")]
pub struct RowError(pub &'static str);

/// Why a database did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The same call may succeed later.
    #[error("the read models are not available: {0}")]
    Unavailable(String),
    /// Somebody else has written what only one may write: nothing of this write happened.
    #[error("the read models have another owner")]
    Superseded,
    /// The statement itself is wrong, or the file is damaged: repeating it won't help.
    #[error("the read models are broken: {0}")]
    Broken(String),
}

impl From<RowError> for StoreError {
    fn from(error: RowError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A database of read models, or of what stands beside them.
#[async_trait]
pub trait Store: Send + Sync {
    /// The answers of all statements, read in one transaction: all of them are true at one moment.
    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError>;
    /// All steps or none.
    async fn write(&self, steps: Vec<Write>) -> Result<(), StoreError>;
    /// The same, and on the disk before it is answered, whatever is usual for this store.
    async fn write_durably(&self, steps: Vec<Write>) -> Result<(), StoreError>;
    /// Returns once the bytes of rows that were removed are nowhere in the store's files any more.
    async fn scrub(&self) -> Result<(), StoreError>;
    /// Writes a copy of one moment into a new file.
    async fn copy_to(&self, path: &Path) -> Result<(), StoreError>;
    /// Ends what works for the store, once it has done what was asked of it.
    async fn close(&self);
}

impl Row {
    /// How many bytes its texts have.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = self.0.iter().map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Int(_) | Value::Real(_) => 0,
        });
        bytes.sum()
    }

    /// The cells, to be taken from left to right.
    pub fn into_cells(self) -> Cells {
        Cells(self.0.into_iter())
    }
}

impl Cells {
    /// The next cell as it is.
    pub fn value(&mut self) -> Result<Value, RowError> {
        self.0.next().ok_or(RowError("cell"))
    }

    /// The next cell, which holds text.
    pub fn text(&mut self) -> Result<String, RowError> {
        self.optional_text()?.ok_or(RowError("text"))
    }

    /// The next cell, which holds text or nothing.
    pub fn optional_text(&mut self) -> Result<Option<String>, RowError> {
        match self.value()? {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            Value::Int(_) | Value::Real(_) | Value::Blob(_) => Err(RowError("text")),
        }
    }

    /// The next cell, which holds an id.
    pub fn id<T: From<String>>(&mut self) -> Result<T, RowError> {
        self.text().map(T::from)
    }

    /// The next cell, which holds an id or nothing.
    pub fn optional_id<T: From<String>>(&mut self) -> Result<Option<T>, RowError> {
        Ok(self.optional_text()?.map(T::from))
    }

    /// The next cell, which holds an integer.
    pub fn int(&mut self) -> Result<i64, RowError> {
        self.optional_int()?.ok_or(RowError("integer"))
    }

    /// The next cell, which holds an integer or nothing.
    pub fn optional_int(&mut self) -> Result<Option<i64>, RowError> {
        match self.value()? {
            Value::Int(int) => Ok(Some(int)),
            Value::Null => Ok(None),
            Value::Real(_) | Value::Text(_) | Value::Blob(_) => Err(RowError("integer")),
        }
    }

    /// The next cell, which holds a number from 0.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Result<T, RowError> {
        T::try_from(self.int()?).map_err(|_| RowError("number of its size"))
    }

    /// The next cell, which holds a number from 0 or nothing.
    pub fn optional_number<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, RowError> {
        self.optional_int()?.map(T::try_from).transpose().map_err(|_| RowError("number of its size"))
    }

    /// The next cell, which holds 0 or 1.
    pub fn flag(&mut self) -> Result<bool, RowError> {
        Ok(self.int()? != 0)
    }

    /// The next cell, which holds a time.
    pub fn time(&mut self) -> Result<Timestamp, RowError> {
        self.int().map(Timestamp)
    }

    /// The next cell, which holds a time or nothing.
    pub fn optional_time(&mut self) -> Result<Option<Timestamp>, RowError> {
        Ok(self.optional_int()?.map(Timestamp))
    }

    /// The next cell, which holds a position.
    pub fn position(&mut self) -> Result<Position, RowError> {
        self.number().map(Position)
    }

    /// The next cell, which holds JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, RowError> {
        serde_json::from_str(&self.text()?).map_err(|_| RowError("JSON of its shape"))
    }

    /// The next cell, which holds JSON or nothing.
    pub fn optional_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, RowError> {
        let text = self.optional_text()?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| RowError("JSON of its shape"))
    }

    /// The next cell, which holds a word of `T`'s, as its JSON has it.
    pub fn word<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, RowError> {
        serde_json::from_value(serde_json::Value::String(self.text()?)).map_err(|_| RowError("word of its list"))
    }

    /// The next cell, which holds a word of `T`'s or nothing.
    pub fn optional_word<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, RowError> {
        let word = self.optional_text()?.map(serde_json::Value::String);
        word.map(serde_json::from_value).transpose().map_err(|_| RowError("word of its list"))
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

/// Positions and counts lie far below 2^63; one that did not would be the largest there is.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.0)
    }
}

impl From<Position> for Value {
    fn from(position: Position) -> Self {
        position.0.into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&StreamName> for Value {
    fn from(stream: &StreamName) -> Self {
        stream.as_str().into()
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! ids {
    ($($id:ident),*) => {
        $(impl From<&advisor_events::$id> for Value {
            fn from(id: &advisor_events::$id) -> Self {
                id.as_str().into()
            }
        })*
    };
}

ids!(UserId, AdvisorId, ConversationId, MessageId, ReplyId);
