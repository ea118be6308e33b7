//! Questions to the read models: what to read, and what to make of the answer. Queries that are put
//! together are read in one transaction.

use crate::store::{Row, RowError, Statement};

type Decode<T> = Box<dyn FnOnce(&mut Answers) -> Result<T, RowError> + Send>;

/// A question whose answer is a `T`. Nothing is read until a [`Reader`](crate::Reader) runs it.
#[must_use]
pub struct Query<T> {
    statements: Vec<Statement>,
    decode: Decode<T>,
}

/// What is to be made of the answers to a query's statements.
pub(crate) struct Decoder<T>(Decode<T>);

/// What the statements of a query gave, in their order.
pub struct Answers(std::vec::IntoIter<Vec<Row>>);

impl<T: Send + 'static> Query<T> {
    /// A question that needs no reading.
    pub fn of(value: T) -> Self {
        Self { statements: Vec::new(), decode: Box::new(|_| Ok(value)) }
    }

    /// This question and another, answered at one position.
    pub fn zip<U: Send + 'static>(mut self, other: Query<U>) -> Query<(T, U)> {
        self.statements.extend(other.statements);
        let (first, second) = (self.decode, other.decode);
        Query { statements: self.statements, decode: Box::new(move |answers| Ok((first(answers)?, second(answers)?))) }
    }

    /// This question, its answer made into something else.
    pub fn map<U: Send + 'static>(self, make: impl FnOnce(T) -> U + Send + 'static) -> Query<U> {
        let decode = self.decode;
        Query { statements: self.statements, decode: Box::new(move |answers| Ok(make(decode(answers)?))) }
    }

    /// Many questions as one.
    pub fn all(queries: Vec<Self>) -> Query<Vec<T>> {
        let (statements, decoders): (Vec<_>, Vec<_>) =
            queries.into_iter().map(|query| (query.statements, query.decode)).unzip();
        Query {
            statements: statements.into_iter().flatten().collect(),
            decode: Box::new(move |answers| decoders.into_iter().map(|decode| decode(answers)).collect()),
        }
    }

    /// One statement that gives one row.
    pub(crate) fn one(statement: Statement, decode: fn(Row) -> Result<T, RowError>) -> Self {
        Self {
            statements: vec![statement],
            decode: Box::new(move |answers| {
                decode(answers.next()?.into_iter().next().ok_or(RowError("row that there must be"))?)
            }),
        }
    }

    /// What to read.
    pub(crate) fn into_statements(self) -> Vec<Statement> {
        self.statements
    }

    /// What to read, and what to make of it.
    pub(crate) fn into_parts(self) -> (Vec<Statement>, Decoder<T>) {
        (self.statements, Decoder(self.decode))
    }
}

impl<R: Send + 'static> Query<Vec<R>> {
    /// One statement, each of whose rows makes one element.
    pub(crate) fn many(statement: Statement, decode: fn(Row) -> Result<R, RowError>) -> Self {
        Self {
            statements: vec![statement],
            decode: Box::new(move |answers| answers.next()?.into_iter().map(decode).collect()),
        }
    }
}

impl<R: Send + 'static> Query<(Vec<R>, Rest)> {
    /// The same as [`Query::many`], of rows that have at most so many bytes of text together; at least one.
    pub(crate) fn many_within(bytes_max: usize, statement: Statement, decode: fn(Row) -> Result<R, RowError>) -> Self {
        Self {
            statements: vec![statement.within(bytes_max)],
            decode: Box::new(move |answers| {
                let mut rows = answers.next()?;
                let mut left = bytes_max;
                let fitting = rows.iter().map_while(|row| {
                    left = left.checked_sub(row.bytes())?;
                    Some(())
                });
                let fitting = fitting.count().max(1);
                let rest = if rows.len() > fitting { Rest::LeftOut } else { Rest::None };
                rows.truncate(fitting);
                Ok((rows.into_iter().map(decode).collect::<Result<_, _>>()?, rest))
            }),
        }
    }
}

/// Whether rows were left out because of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    LeftOut,
    None,
}

impl<R: Send + 'static> Query<Option<R>> {
    /// One statement that gives one row or none.
    pub(crate) fn optional(statement: Statement, decode: fn(Row) -> Result<R, RowError>) -> Self {
        Self {
            statements: vec![statement],
            decode: Box::new(move |answers| answers.next()?.into_iter().next().map(decode).transpose()),
        }
    }
}

impl<T> Decoder<T> {
    /// The answer, of the answers to the statements in their order.
    pub(crate) fn decode(self, answers: Vec<Vec<Row>>) -> Result<T, RowError> {
        (self.0)(&mut Answers(answers.into_iter()))
    }
}

impl Answers {
    fn next(&mut self) -> Result<Vec<Row>, RowError> {
        self.0.next().ok_or(RowError("answer to each statement"))
    }
}
