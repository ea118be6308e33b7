//! Which rows of a limited set a client has, so that what leaves or overflows it is noticed.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The rows of a limited set that a client has, by the hashes of their keys: small, since each idle
/// stream keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    limit: usize,
    keys: HashSet<u64>,
    /// Whether there may be rows that did not fit.
    more: bool,
    /// Where more did not fit: what lies before this place is outside.
    floor: u64,
}

/// A row that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowNow<'a> {
    /// It is there, at this place in the order of the set.
    At(&'a str, u64),
    /// It is gone.
    Gone(&'a str),
}

/// What to tell the client of a row that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The row as it is now.
    Upsert,
    /// That it is gone.
    Remove,
    /// Nothing: it lies outside of what the client has.
    Skip,
}

/// The set can't be brought up to date by changes: the query is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendAgain;

impl Window {
    /// The rows of a set of at most `limit`, in its order, oldest first, with each row's place.
    pub(crate) fn new<'a>(limit: usize, rows: impl IntoIterator<Item = (&'a str, u64)>, more: Fullness) -> Self {
        let mut window = Self { limit, ..Self::default() };
        let mut floor = u64::MAX;
        for (key, place) in rows {
            window.keys.insert(hash(key));
            floor = floor.min(place);
        }
        window.more = match more {
            Fullness::MoreThere => true,
            Fullness::AllThere => false,
            Fullness::Unknown => window.keys.len() >= limit,
        };
        window.floor = if window.more { floor } else { 0 };
        window
    }

    /// What to tell of rows that changed, in their order; the window is then as the client's set.
    pub(crate) fn move_on(&mut self, rows: &[RowNow<'_>]) -> Result<Vec<Step>, SendAgain> {
        let mut next = self.clone();
        let steps = rows.iter().map(|row| next.step(*row)).collect::<Result<_, _>>()?;
        *self = next;
        Ok(steps)
    }

    fn step(&mut self, row: RowNow<'_>) -> Result<Step, SendAgain> {
        match row {
            RowNow::Gone(key) if !self.keys.contains(&hash(key)) => Ok(Step::Skip),
            RowNow::Gone(_) if self.more => Err(SendAgain),
            RowNow::Gone(key) => {
                self.keys.remove(&hash(key));
                Ok(Step::Remove)
            }
            RowNow::At(key, _) if self.keys.contains(&hash(key)) => Ok(Step::Upsert),
            RowNow::At(_, place) if place < self.floor => Ok(Step::Skip),
            RowNow::At(_, _) if self.keys.len() >= self.limit => Err(SendAgain),
            RowNow::At(key, _) => {
                self.keys.insert(hash(key));
                Ok(Step::Upsert)
            }
        }
    }

    /// What to tell a client of whom nobody knows which rows it has, only where it stood: this window is
    /// the set as it is now. As long as the set can't have been full, all of it is known to the client.
    pub(crate) fn resume(&self, rows: &[RowNow<'_>]) -> Result<Vec<Step>, SendAgain> {
        let gone = rows.iter().filter(|row| matches!(row, RowNow::Gone(_))).count();
        if !rows.is_empty() && (self.more || self.keys.len() + gone > self.limit) {
            return Err(SendAgain);
        }
        let step = |row: &RowNow<'_>| match row {
            RowNow::At(..) => Step::Upsert,
            RowNow::Gone(_) => Step::Remove,
        };
        Ok(rows.iter().map(step).collect())
    }
}

/// Whether a set has rows that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fullness {
    /// It has.
    MoreThere,
    /// It has not.
    AllThere,
    /// Only a set that is not full tells.
    Unknown,
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{RowNow::*, *};

    #[test]
    fn in_a_set_that_is_not_full_every_change_is_told() {
        let mut window = Window::new(3, [("a", 1), ("b", 2)], Fullness::AllThere);
        assert_eq!(window.move_on(&[At("a", 1), At("c", 3)]), Ok(vec![Step::Upsert, Step::Upsert]));
        assert_eq!(window.move_on(&[Gone("b"), Gone("x")]), Ok(vec![Step::Remove, Step::Skip]));
        assert_eq!(window, Window::new(3, [("a", 1), ("c", 3)], Fullness::AllThere));
    }

    #[test]
    fn a_set_that_overflows_is_sent_again_and_stays_as_it_was() {
        let mut window = Window::new(2, [("a", 1), ("b", 2)], Fullness::AllThere);
        let before = window.clone();
        assert_eq!(window.move_on(&[At("a", 1), At("c", 3)]), Err(SendAgain));
        assert_eq!(window, before);
        assert_eq!(window.move_on(&[Gone("a"), At("c", 3)]), Ok(vec![Step::Remove, Step::Upsert]));
    }

    #[test]
    fn where_more_did_not_fit_a_row_that_leaves_makes_room_for_one_that_is_not_known() {
        let mut window = Window::new(2, [("b", 2), ("c", 3)], Fullness::MoreThere);
        assert_eq!(
            window.move_on(&[Gone("a"), At("a", 1), At("c", 3)]),
            Ok(vec![Step::Skip, Step::Skip, Step::Upsert])
        );
        assert_eq!(window.move_on(&[Gone("b")]), Err(SendAgain));
        assert_eq!(window.move_on(&[At("d", 4)]), Err(SendAgain));
    }

    #[test]
    fn who_resumes_gets_changes_only_where_the_set_was_never_full() {
        let small = Window::new(3, [("a", 1), ("b", 2)], Fullness::AllThere);
        assert_eq!(small.resume(&[At("b", 2), Gone("x")]), Ok(vec![Step::Upsert, Step::Remove]));
        assert_eq!(small.resume(&[Gone("x"), Gone("y")]), Err(SendAgain));
        let full = Window::new(2, [("a", 1), ("b", 2)], Fullness::MoreThere);
        assert_eq!(full.resume(&[At("b", 2)]), Err(SendAgain));
        assert_eq!(full.resume(&[]), Ok(vec![]));
    }

    #[test]
    fn a_set_that_does_not_say_may_have_more_when_it_is_full() {
        assert!(Window::new(1, [("a", 1)], Fullness::Unknown).more);
        assert!(!Window::new(2, [("a", 1)], Fullness::Unknown).more);
    }
}
