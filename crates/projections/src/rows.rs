//! Rows in memory while events are applied: each is read at most once and written at most once a batch.

use crate::{
    advisors::AdvisorRow,
    conversations::ConversationRow,
    deletions::DeletionRow,
    departures::DepartureRow,
    messages::MessageRow,
    owners::OwnerRow,
    replies::ReplyRow,
    store::{Row, RowError, Statement, Value, Write},
    table::{Concern, TableRow, in_loads},
    users::UserRow,
};
use std::{borrow::Cow, collections::HashMap};

/// The rows of all tables that a batch needs.
#[derive(Default)]
pub struct Rows {
    /// People.
    pub users: TableRows<UserRow>,
    /// Advisors.
    pub advisors: TableRows<AdvisorRow>,
    /// Conversations.
    pub conversations: TableRows<ConversationRow>,
    /// Messages.
    pub messages: TableRows<MessageRow>,
    /// Replies.
    pub replies: TableRows<ReplyRow>,
    /// Owners of conversations.
    pub owners: TableRows<OwnerRow>,
    /// Deletions of people.
    pub deletions: TableRows<DeletionRow>,
    /// Messages and replies that have gone.
    pub departures: TableRows<DepartureRow>,
}

/// What one event makes of the rows.
#[derive(Default)]
pub struct Writes {
    /// People.
    pub users: TableWrites<UserRow>,
    /// Advisors.
    pub advisors: TableWrites<AdvisorRow>,
    /// Conversations.
    pub conversations: TableWrites<ConversationRow>,
    /// Messages.
    pub messages: TableWrites<MessageRow>,
    /// Replies.
    pub replies: TableWrites<ReplyRow>,
    /// Owners of conversations.
    pub owners: TableWrites<OwnerRow>,
    /// Deletions of people.
    pub deletions: TableWrites<DeletionRow>,
    /// Messages and replies that have gone.
    pub departures: TableWrites<DepartureRow>,
}

impl Rows {
    /// Takes over what an event made of the rows.
    pub fn take(&mut self, writes: &mut Writes) {
        self.users.take(&mut writes.users);
        self.advisors.take(&mut writes.advisors);
        self.conversations.take(&mut writes.conversations);
        self.messages.take(&mut writes.messages);
        self.replies.take(&mut writes.replies);
        self.owners.take(&mut writes.owners);
        self.deletions.take(&mut writes.deletions);
        self.departures.take(&mut writes.departures);
    }

    /// Every table, for what is the same with all of them. What belongs to conversations is written before them,
    /// since its groups are found through them.
    pub(crate) fn tables(&mut self) -> [&mut dyn AnyTableRows; 8] {
        [
            &mut self.users,
            &mut self.advisors,
            &mut self.deletions,
            &mut self.owners,
            &mut self.departures,
            &mut self.messages,
            &mut self.replies,
            &mut self.conversations,
        ]
    }
}

/// Rows of one table.
pub struct TableRows<R> {
    entries: HashMap<String, Entry<R>>,
    wanted: Vec<String>,
    removed_groups: Vec<(&'static str, String)>,
    changed: Vec<String>,
    /// Keys that may have no row: forgotten at the end of the batch.
    absent: Vec<String>,
    /// How rows would have been told of in the middle of the batch, and neither before it nor after it. Somebody may
    /// have seen them so: a power cut takes the last commits back, and the batches that follow end elsewhere.
    passed: Vec<Concern>,
}

/// What one event makes of the rows of one table.
pub struct TableWrites<R>(Vec<TableWrite<R>>);

enum TableWrite<R> {
    Put(R),
    Remove { key: String, concern: Option<Concern> },
    RemoveGroup { column: &'static str, value: String },
}

struct Entry<R> {
    row: Option<R>,
    stored: Stored,
    is_changed: bool,
}

/// What the database holds of a row.
enum Stored {
    No,
    Yes,
    /// It has not been looked at.
    Perhaps,
    /// It was told of like this before the batch changed it.
    As(Option<Concern>),
}

impl<R> Default for TableRows<R> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            wanted: Vec::new(),
            removed_groups: Vec::new(),
            changed: Vec::new(),
            absent: Vec::new(),
            passed: Vec::new(),
        }
    }
}

impl<R> Default for TableWrites<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R: TableRow> TableWrites<R> {
    /// Writes a row, new or changed.
    pub fn put(&mut self, row: R) {
        self.0.push(TableWrite::Put(row));
    }

    /// Removes a row.
    pub fn remove(&mut self, row: &R) {
        self.remove_unseen(row.key(), row.concern());
    }

    /// Removes a row that was not loaded.
    pub fn remove_unseen(&mut self, key: impl Into<String>, concern: Option<Concern>) {
        self.0.push(TableWrite::Remove { key: key.into(), concern });
    }

    /// Removes all rows of a group without a word about each of them: what they belonged to is gone, and its own
    /// removal says so.
    pub fn remove_where(&mut self, column: &'static str, value: impl Into<String>) {
        self.0.push(TableWrite::RemoveGroup { column, value: value.into() });
    }
}

impl<R: TableRow> TableRows<R> {
    /// Says that a row will be looked at.
    pub fn want(&mut self, key: &str) {
        if !self.entries.contains_key(key) {
            self.entries.insert(key.to_owned(), Entry { row: None, stored: Stored::Perhaps, is_changed: false });
            self.wanted.push(key.to_owned());
        }
    }

    /// A row that was wanted, if it exists.
    pub fn get(&self, key: &str) -> Option<&R> {
        let entry = self.entries.get(key);
        debug_assert!(entry.is_some(), "a row of {} is looked at and was not named by `keys`", R::TABLE.name);
        entry?.row.as_ref()
    }

    /// All rows in memory, in the order of their keys.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<&R> {
        let mut rows: Vec<_> =
            self.entries.iter().filter_map(|(key, entry)| Some((key, entry.row.as_ref()?))).collect();
        rows.sort_by_key(|(key, _)| key.as_str());
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn take(&mut self, writes: &mut TableWrites<R>) {
        for write in writes.0.drain(..) {
            match write {
                TableWrite::Put(row) => self.put(row),
                TableWrite::Remove { key, concern } => self.remove(key, concern),
                TableWrite::RemoveGroup { column, value } => self.remove_group(column, value),
            }
        }
    }

    fn put(&mut self, row: R) {
        self.pass(&row.key(), row.concern().as_ref());
        let entry = self.change(row.key());
        entry.row = Some(row);
    }

    fn remove(&mut self, key: String, concern: Option<Concern>) {
        self.pass(&key, None);
        let entry = self.change(key);
        entry.row = None;
        if matches!(entry.stored, Stored::Perhaps) {
            entry.stored = Stored::As(concern);
        }
    }

    /// Notes how a row is told of that the batch has changed already, if it is not told of so any more.
    fn pass(&mut self, key: &str, next: Option<&Concern>) {
        let changed = self.entries.get(key).filter(|entry| entry.is_changed);
        let concern = changed.and_then(|entry| entry.row.as_ref()).and_then(TableRow::concern);
        self.passed.extend(concern.filter(|concern| next != Some(concern)));
    }

    /// The entry of a row that is about to change, marked as such.
    fn change(&mut self, key: String) -> &mut Entry<R> {
        let changed = &mut self.changed;
        let entry =
            self.entries.entry(key.clone()).or_insert(Entry { row: None, stored: Stored::Perhaps, is_changed: false });
        if !entry.is_changed {
            entry.is_changed = true;
            changed.push(key);
            if matches!(entry.stored, Stored::Yes) {
                entry.stored = Stored::As(entry.row.as_ref().and_then(TableRow::concern));
            }
        }
        entry
    }

    /// The database removes what it holds of the group; what is in memory follows, and says nothing.
    fn remove_group(&mut self, column: &'static str, value: String) {
        debug_assert!(
            R::TABLE.groups.iter().any(|(name, _)| *name == column),
            "{column} is no group of {}",
            R::TABLE.name
        );
        let is_of_group = |row: &R| row.group(column).is_some_and(|group| group == value);
        let of_group = self.entries.iter_mut().filter(|(_, entry)| entry.row.as_ref().is_some_and(is_of_group));
        for (key, entry) in of_group {
            entry.row = None;
            self.absent.push(key.clone());
            match entry.stored {
                Stored::As(_) => entry.stored = Stored::As(None),
                Stored::Yes => entry.stored = Stored::No,
                Stored::No | Stored::Perhaps => {}
            }
        }
        self.removed_groups.push((column, value));
    }
}

/// The rows of a table, whichever it is.
pub(crate) trait AnyTableRows: Send {
    /// What loads the rows that are wanted and not in memory.
    fn loads(&self) -> Vec<Statement>;
    /// The answer to one of these statements.
    fn loaded(&mut self, rows: Vec<Row>) -> Result<(), RowError>;
    /// All that was wanted has been loaded: what did not come is not there.
    fn all_loaded(&mut self);
    /// What has to be written, with what to tell of it.
    fn flush(&mut self, told: &mut Vec<(&'static str, Concern)>) -> Vec<Write>;
    /// What was flushed has been committed; at most `kept_max` rows are kept.
    fn committed(&mut self, kept_max: usize);
}

impl<R: TableRow> AnyTableRows for TableRows<R> {
    fn loads(&self) -> Vec<Statement> {
        let lists = in_loads(&self.wanted);
        lists.into_iter().map(|keys| Statement::new(R::TABLE.load(keys.len()), keys)).collect()
    }

    fn loaded(&mut self, rows: Vec<Row>) -> Result<(), RowError> {
        for row in rows {
            let row = R::from_row(row)?;
            self.entries.insert(row.key(), Entry { row: Some(row), stored: Stored::Yes, is_changed: false });
        }
        Ok(())
    }

    fn all_loaded(&mut self) {
        for key in self.wanted.drain(..) {
            if let Some(entry) = self.entries.get_mut(&key)
                && matches!(entry.stored, Stored::Perhaps)
            {
                entry.stored = Stored::No;
                self.absent.push(key);
            }
        }
    }

    fn flush(&mut self, told: &mut Vec<(&'static str, Concern)>) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        for (column, value) in self.removed_groups.drain(..) {
            writes.push(Write::Run(Statement::new(R::TABLE.delete_group(column), vec![value.into()])));
        }
        told.extend(self.passed.drain(..).map(|concern| (R::TABLE.name, concern)));
        let (mut deletes, mut upserts) = (Vec::new(), Vec::new());
        // In the order of their first change, so that the same events write the same pages.
        for key in &self.changed {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let concern = entry.row.as_ref().and_then(TableRow::concern);
            if let Stored::As(Some(before)) = &entry.stored
                && concern.as_ref() != Some(before)
            {
                told.push((R::TABLE.name, before.clone()));
            }
            told.extend(concern.map(|concern| (R::TABLE.name, concern)));
            match (&entry.row, &entry.stored) {
                (None, Stored::No) => {}
                (None, Stored::Yes | Stored::Perhaps | Stored::As(_)) => deletes.push(vec![key.as_str().into()]),
                (Some(_), _) if !R::KEPT => upserts.extend(entry.row.take().map(TableRow::into_values)),
                (Some(row), _) => upserts.push(row.clone().into_values()),
            }
        }
        if !deletes.is_empty() {
            writes.push(Write::Each { sql: Cow::Owned(R::TABLE.delete()), params: deletes });
        }
        if !upserts.is_empty() {
            writes.push(Write::Each { sql: Cow::Owned(R::TABLE.upsert()), params: upserts });
        }
        writes
    }

    fn committed(&mut self, kept_max: usize) {
        if !R::KEPT {
            self.entries.clear();
            self.changed.clear();
            self.absent.clear();
            return;
        }
        if self.entries.len() > kept_max {
            // Those of this batch are the likeliest to be needed again.
            self.entries.retain(|_, entry| entry.is_changed);
        }
        if self.entries.len() > kept_max {
            self.entries.clear();
        }
        for key in self.changed.drain(..) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.is_changed = false;
                entry.stored = Stored::Yes;
                if entry.row.is_none() {
                    self.entries.remove(&key);
                }
            }
        }
        for key in self.absent.drain(..) {
            if self.entries.get(&key).is_some_and(|entry| entry.row.is_none()) {
                self.entries.remove(&key);
            }
        }
    }
}

impl Concern {
    /// A row of a conversation's, for its owner.
    pub fn in_conversation(
        key: &str,
        user: &advisor_events::UserId,
        conversation: &advisor_events::ConversationId,
    ) -> Self {
        Self { feed: user.0.clone(), scope: conversation.0.clone(), key: key.to_owned() }
    }

    /// The cells of a change row after its position and projection.
    pub(crate) fn into_values(self) -> [Value; 3] {
        [self.feed.into(), self.scope.into(), self.key.into()]
    }
}
