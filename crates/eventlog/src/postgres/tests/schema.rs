//! The schema: made by whoever comes first, left alone by whoever does not know it, and used without the right to make it.

use super::place::Place;
use crate::{
    contract::scene::{Scene, events},
    port::{AppendError, EventLog, Expected},
    postgres::{MigrateError, Migrated, OpenError, PostgresLog, PostgresLogOptions},
};
use futures::future::join_all;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

#[tokio::test]
async fn processes_that_start_at_once_make_one_schema() {
    let place = Place::new(|_| {});

    let made = join_all((0..8).map(|_| PostgresLog::migrate(&place.options))).await;

    assert!(made.iter().all(|made| matches!(made, Ok(Migrated { to: 1, .. }))), "{made:?}");
    let again = PostgresLog::migrate(&place.options).await.expect("nothing to do");
    assert_eq!(again, Migrated { from: 1, to: 1 });
    let steps = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM schema_version");
    assert_eq!(steps.fetch_one(&mut place.stranger().await).await.expect("a count"), 1);
}

#[tokio::test]
async fn the_schema_of_a_newer_program_is_left_alone() {
    let place = Place::new(|_| {});
    PostgresLog::migrate(&place.options).await.expect("a schema");
    let newer = sqlx::query("INSERT INTO schema_version (version) VALUES (99)");
    newer.execute(&mut place.stranger().await).await.expect("a newer schema");

    let refused = PostgresLog::migrate(&place.options).await;

    assert!(matches!(refused, Err(MigrateError::Newer { found: 99, known: 1 })), "{refused:?}");
    let append = Scene::on(place.log()).append("a", Expected::NoStream, &events(1)).await;
    let Err(AppendError::Unavailable(why)) = append else { panic!("{append:?}") };
    assert!(why.contains("newer"), "{why}");
}

#[tokio::test]
async fn a_user_who_may_only_append_and_read_does_so_and_one_who_may_only_read_is_denied() {
    let place = Place::new(|_| {});
    PostgresLog::migrate(&place.options).await.expect("a schema");
    let (mut appends, mut reads) = (place.options.clone(), place.options.clone());
    appends.url = user(&place, "INSERT, SELECT").await;
    reads.url = user(&place, "SELECT").await;

    let scene = Scene::on(std::sync::Arc::new(PostgresLog::open(appends).expect("a log")));
    scene.fill("a", 2).await;
    assert_eq!(scene.whole("a").await.len(), 2);

    let reader = PostgresLog::open(reads).expect("a log");
    assert_eq!(reader.head().await.expect("the head"), scene.head().await);
    let denied = reader.append(&scene.stream("b"), Expected::NoStream, events(1)).await;
    assert!(matches!(denied, Err(AppendError::Denied)), "{denied:?}");
}

#[tokio::test]
async fn options_that_name_no_place_are_refused_without_showing_the_password() {
    for schema in ["", "Log", "a-b", "1log", "pg_log", "a\"b"] {
        let mut options = PostgresLogOptions::at("postgres://advisor:geheim@db/advisor");
        options.schema = schema.to_owned();
        assert!(!format!("{options:?}").contains("geheim"));
        assert!(matches!(PostgresLog::open(options).err(), Some(OpenError::Schema(name)) if name == schema));
    }
    let wrong = PostgresLog::open(PostgresLogOptions::at("postgres://advisor:geheim@db:port/advisor"));
    let Err(error @ OpenError::Url(_)) = wrong else { panic!("a wrong URL") };
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

/// The URL of a new user with these rights on the log's tables, and no right to make any.
async fn user(place: &Place, rights: &str) -> String {
    let (name, schema) = (format!("user_{}", Uuid::new_v4().simple()), &place.options.schema);
    let grants = format!(
        "CREATE ROLE {name} LOGIN;
         GRANT USAGE ON SCHEMA {schema} TO {name};
         GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {name};"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut place.stranger().await).await.expect("a user");
    place.options.url.replace("advisor@", &format!("{name}@"))
}
