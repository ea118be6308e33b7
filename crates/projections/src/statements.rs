//! The registry of every text of SQL that this crate sends, so that one test can prepare them all on an engine.

use crate::{
    advisors, changes, consumption, conversations, deletions, departures, messages, owners, parked, projection::all,
    replies, side, store::Statement, users,
};

/// Every text, each once, in no order that means anything.
pub fn all_statements() -> Vec<String> {
    let mut texts: Vec<String> = examples().into_iter().map(|statement| statement.sql.into_owned()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Every text, some with parameters of the kinds that they are given.
fn examples() -> Vec<Statement> {
    let queries = [
        users::statements(),
        advisors::statements(),
        conversations::statements(),
        messages::statements(),
        replies::statements(),
        owners::statements(),
        deletions::statements(),
        departures::statements(),
        changes::statements(),
        parked::statements(),
        side::statements(),
    ];
    let queries = queries.into_iter().flatten().chain(consumption::statements());
    let tables = all().into_iter().flat_map(|projection| projection.table().texts());
    queries.chain(tables.map(|text| Statement::new(text, vec![]))).collect()
}

/// What makes every table that these texts name; doing it twice changes nothing.
pub fn all_tables() -> Vec<String> {
    let tables = all().into_iter().flat_map(|projection| projection.table().create());
    let others = changes::CREATE
        .into_iter()
        .chain([crate::checkpoint::CREATE])
        .chain(consumption::CREATE)
        .chain(side::CREATE)
        .map(str::to_owned);
    tables.chain(others).chain(parked::create()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        PostgresStore, given,
        store::{Store, Write},
    };
    use rusqlite::Connection;

    #[test]
    fn every_statement_is_prepared_by_sqlite() {
        let connection = Connection::open_in_memory().unwrap();
        for text in all_tables().iter().chain(&all_tables()) {
            connection.execute_batch(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let texts = all_statements();
        assert!(texts.len() > 50, "{}", texts.len());
        for text in texts {
            connection.prepare(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    /// PostgreSQL has not looked at tables that are new: it must not take a page for some rows to be found and sorted.
    #[tokio::test]
    async fn a_page_of_messages_is_read_in_the_order_of_its_index_however_little_the_planner_knows() {
        let store = PostgresStore::open(given::postgres::options(), all_tables()).await.unwrap();
        let many = "INSERT INTO messages (id, conversation_id, user_id, sender, mentions, created_at, revision,
                text_revision, position, content)
            SELECT n, 'c', 'ana', 'user', '[]', n, n, n, n, repeat('word ', 40) FROM generate_series(1, 10000) n";
        store.write(vec![Write::Run(Statement::new(many, vec![]))]).await.unwrap();

        let pages = messages::statements().into_iter().filter(|query| query.sql.contains("ORDER BY m.revision"));
        let pages: Vec<_> = pages.filter(|query| query.sql.contains("LIMIT")).collect();
        assert!(pages.len() >= 3, "{pages:?}");
        for page in pages {
            let plan = store.plan(&page).await.unwrap();
            assert!(plan.contains("using messages_in_order") && !plan.contains("Sort"), "{}:\n{plan}", page.sql);
        }
    }

    #[tokio::test]
    async fn every_statement_is_prepared_by_postgresql_with_values_and_cells_of_our_kinds() {
        // Twice, as it is done at every start.
        let options = given::postgres::options();
        PostgresStore::open(options.clone(), all_tables()).await.unwrap();
        let store = PostgresStore::open(options, all_tables()).await.unwrap();

        for statement in examples() {
            let kinds = store.kinds(&statement).await.unwrap_or_else(|error| panic!("{}: {error}", statement.sql));
            for kind in kinds {
                assert!(["INT8", "INT4", "TEXT", "BYTEA"].contains(&kind.as_str()), "{kind} in {}", statement.sql);
            }
        }
    }

    #[test]
    fn no_statement_uses_what_only_one_engine_understands() {
        for text in all_statements().iter().chain(&all_tables()) {
            for word in ["?", "::", "FOR UPDATE", "now()", "ANY(", "greatest(", "json_", "ILIKE", "LIKE", "OR IGNORE"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}
