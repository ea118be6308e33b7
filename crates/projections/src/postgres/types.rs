//! Types of columns. The shared texts name SQLite's; PostgreSQL has others, or means others by them.

/// The same text, for PostgreSQL: bytes are `BYTEA` there, and text is ordered by its bytes, as SQLite orders it,
/// whatever language the database speaks.
pub(super) fn translated(create: &str) -> String {
    if !create.starts_with("CREATE TABLE") {
        return create.to_owned();
    }
    let words = create.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.map(word).collect()
}

/// A word with what ends it.
fn word(word: &str) -> String {
    let end = word.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(word.len());
    let (name, ending) = word.split_at(end);
    match name {
        "TEXT" => format!("TEXT COLLATE \"C\"{ending}"),
        "BLOB" => format!("BYTEA{ending}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_translated_and_nothing_else() {
        let create = "CREATE TABLE IF NOT EXISTS drafts (id TEXT NOT NULL PRIMARY KEY,\n text TEXT, key BLOB)";

        assert_eq!(
            translated(create),
            "CREATE TABLE IF NOT EXISTS drafts (id TEXT COLLATE \"C\" NOT NULL PRIMARY KEY,\n \
             text TEXT COLLATE \"C\", key BYTEA)"
        );
        assert_eq!(translated("CREATE INDEX TEXT ON drafts (BLOB)"), "CREATE INDEX TEXT ON drafts (BLOB)");
    }
}
