//! Tables as data: their SQL is made from it, the same for every engine.

use crate::store::{Row, RowError, Statement, Value};
use std::fmt::Write as _;

/// Keys in one statement that loads rows: the first of these that holds what is left.
const LOAD_SIZES: [usize; 4] = [1, 8, 64, 512];

/// A table of a read model.
#[derive(Debug)]
pub struct Table {
    /// Its name, which is the projection's.
    pub name: &'static str,
    /// The column that names a row.
    pub key: &'static str,
    /// All columns, in the order of a row's cells.
    pub columns: &'static [Column],
    /// What its indexes are over: `(name, columns, condition or nothing)`.
    pub indexes: &'static [(&'static str, &'static str, &'static str)],
    /// Columns by which rows are removed together, each with the condition that finds the rows whose cell is `$1`.
    pub groups: &'static [(&'static str, &'static str)],
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    name: &'static str,
    type_name: &'static str,
}

impl Column {
    /// Text that is always there.
    pub const fn text(name: &'static str) -> Self {
        Self { name, type_name: "TEXT NOT NULL" }
    }

    /// Text or nothing.
    pub const fn optional_text(name: &'static str) -> Self {
        Self { name, type_name: "TEXT" }
    }

    /// An integer that is always there.
    pub const fn int(name: &'static str) -> Self {
        Self { name, type_name: "BIGINT NOT NULL" }
    }

    /// An integer or nothing.
    pub const fn optional_int(name: &'static str) -> Self {
        Self { name, type_name: "BIGINT" }
    }
}

/// A row of a table: how it is named, stored, and told of.
pub trait TableRow: Clone + Send + Sync + 'static {
    /// Where it is stored.
    const TABLE: Table;
    /// Whether rows are kept from batch to batch: those that most events change.
    const KEPT: bool;

    /// The cell of the table's key column.
    fn key(&self) -> String;
    /// The cell of one of the table's group columns.
    fn group(&self, column: &str) -> Option<&str>;
    /// What to tell when it changes; nothing when nobody sees it.
    fn concern(&self) -> Option<Concern>;
    /// Its cells, in the order of the columns.
    fn into_values(self) -> Vec<Value>;
    /// The row of these cells.
    fn from_row(row: Row) -> Result<Self, RowError>;
}

/// Which row changes, and whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Concern {
    /// A person's id, or [`PUBLIC`](crate::changes::PUBLIC).
    pub feed: String,
    /// The conversation that the row belongs to; empty where there is none.
    pub scope: String,
    /// The row's id.
    pub key: String,
}

impl Table {
    /// What makes the table and its indexes, if they are not there.
    pub fn create(&self) -> Vec<String> {
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| {
                let primary = if column.name == self.key { " PRIMARY KEY" } else { "" };
                format!("{} {}{primary}", column.name, column.type_name)
            })
            .collect();
        let table = format!("CREATE TABLE IF NOT EXISTS {} ({})", self.name, columns.join(", "));
        let indexes = self.indexes.iter().map(|(name, columns, condition)| {
            let condition = if condition.is_empty() { String::new() } else { format!(" WHERE {condition}") };
            format!("CREATE INDEX IF NOT EXISTS {name} ON {} ({columns}){condition}", self.name)
        });
        std::iter::once(table).chain(indexes).collect()
    }

    /// Writes a row, whether it is there or not.
    pub fn upsert(&self) -> String {
        let places: Vec<_> = (1..=self.columns.len()).map(|place| format!("${place}")).collect();
        let others = self.columns.iter().filter(|column| column.name != self.key);
        let sets: Vec<_> = others.map(|column| format!("{0} = excluded.{0}", column.name)).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
            self.name,
            self.names(),
            places.join(", "),
            self.key,
            sets.join(", ")
        )
    }

    /// Removes the row with this key.
    pub fn delete(&self) -> String {
        format!("DELETE FROM {} WHERE {} = $1", self.name, self.key)
    }

    /// Removes the rows of a group.
    pub fn delete_group(&self, column: &str) -> String {
        let group = self.groups.iter().find(|(name, _)| *name == column);
        // A column that is no group has no rows of its own to remove.
        let condition = group.map_or("1 = 0", |(_, condition)| *condition);
        format!("DELETE FROM {} WHERE {condition}", self.name)
    }

    /// The rows of some keys.
    pub fn load(&self, keys: usize) -> String {
        let mut places = String::from("$1");
        for place in 2..=keys {
            // Writing to a string can't fail.
            let Ok(()) = write!(places, ", ${place}") else { break };
        }
        format!("SELECT {} FROM {} WHERE {} IN ({places})", self.names(), self.name, self.key)
    }

    /// All rows, in the order of their keys.
    pub fn dump(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.name, self.key)
    }

    /// The rows after a key, in the order of their keys: `$2` of them.
    pub fn page(&self) -> String {
        let (names, name, key) = (self.names(), self.name, self.key);
        format!("SELECT {names} FROM {name} WHERE {key} > $1 ORDER BY {key} LIMIT $2")
    }

    /// The place of the key among the columns.
    pub fn key_column(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.name == self.key)
    }

    /// Every text that is made here but those that make the table.
    pub fn texts(&self) -> Vec<String> {
        let loads = LOAD_SIZES.iter().map(|size| self.load(*size));
        let groups = self.groups.iter().map(|(column, _)| self.delete_group(column));
        [self.upsert(), self.delete(), self.dump(), self.page()].into_iter().chain(loads).chain(groups).collect()
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }
}

/// A text that ends where the list of keys begins, with the keys.
pub(crate) fn select_in(text: &str, keys: Vec<Value>) -> Statement {
    let places: Vec<_> = (1..=keys.len()).map(|place| format!("${place}")).collect();
    Statement::new(format!("{text} IN ({})", places.join(", ")), keys)
}

/// Cuts keys into lists of few different lengths, so that few texts are ever prepared; the last list is
/// filled up with its own last key.
pub(crate) fn in_loads(keys: &[String]) -> Vec<Vec<Value>> {
    let mut loads = Vec::new();
    let mut rest = keys;
    while let Some(last) = rest.last() {
        let size = LOAD_SIZES.into_iter().find(|size| *size >= rest.len()).unwrap_or(512);
        let (now, later) = rest.split_at(size.min(rest.len()));
        let filling = std::iter::repeat_n(last, size - now.len());
        loads.push(now.iter().chain(filling).map(|key| Value::Text(key.clone())).collect());
        rest = later;
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_made_from_the_description() {
        assert_eq!(
            PETS.create(),
            [
                "CREATE TABLE IF NOT EXISTS pets (id TEXT NOT NULL PRIMARY KEY, age BIGINT)",
                "CREATE INDEX IF NOT EXISTS pets_age ON pets (age) WHERE age IS NOT NULL",
            ]
        );
        assert_eq!(
            PETS.upsert(),
            "INSERT INTO pets (id, age) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET age = excluded.age"
        );
        assert_eq!(PETS.load(3), "SELECT id, age FROM pets WHERE id IN ($1, $2, $3)");
        assert_eq!(PETS.delete(), "DELETE FROM pets WHERE id = $1");
        assert_eq!(PETS.delete_group("age"), "DELETE FROM pets WHERE age = $1");
        assert_eq!(PETS.dump(), "SELECT id, age FROM pets ORDER BY id");
    }

    #[test]
    fn keys_are_loaded_in_lists_of_few_lengths_and_none_is_lost() {
        for count in [0, 1, 2, 8, 9, 64, 65, 512, 513, 1_600] {
            let keys: Vec<String> = (0..count).map(|key| key.to_string()).collect();
            let loads = in_loads(&keys);
            assert!(loads.iter().all(|load| LOAD_SIZES.contains(&load.len())), "{count}");
            for key in keys {
                assert!(loads.iter().flatten().any(|value| *value == Value::Text(key.clone())), "{key} of {count}");
            }
        }
    }

    const PETS: Table = Table {
        name: "pets",
        key: "id",
        columns: &[Column::text("id"), Column::optional_int("age")],
        indexes: &[("pets_age", "age", "age IS NOT NULL")],
        groups: &[("age", "age = $1")],
    };
}
