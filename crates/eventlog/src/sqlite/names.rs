//! The names behind the integer keys of streams and types, remembered by each reader.

use rusqlite::Connection;

/// A bounded memory of names: each key has one slot, and takes it from the key that had it before.
/// Neighbouring keys have different slots, and a lookup costs no hashing.
pub(super) struct Names<T> {
    slots: Vec<Option<(i64, T)>>,
    query: &'static str,
    make: fn(String) -> T,
}

impl<T> Names<T> {
    /// `query` finds the name of key `?1`.
    pub(super) fn new(slots: usize, query: &'static str, make: fn(String) -> T) -> Self {
        let mut empty = Vec::new();
        empty.resize_with(slots.max(1), || None);
        Self { slots: empty, query, make }
    }

    /// The name of a key. A key without a name is damage, and `QueryReturnedNoRows` says so.
    pub(super) fn name_of(&mut self, connection: &Connection, key: i64) -> rusqlite::Result<&T> {
        let slots = self.slots.len();
        let index = usize::try_from(key).unwrap_or(0) % slots;
        let slot = self.slots.get_mut(index).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        if !matches!(slot, Some((known, _)) if *known == key) {
            let name = connection.prepare_cached(self.query)?.query_row([key], |row| row.get(0))?;
            *slot = Some((key, (self.make)(name)));
        }
        slot.as_ref().map(|(_, name)| name).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}
