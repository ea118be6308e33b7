//! Who brings the read models forward, as PostgreSQL itself sees it: a trigger writes down whose connection moved the
//! checkpoint, and under which fence.

use super::engines::sql;

/// What a process says to PostgreSQL on each of its connections.
const NAME: &str = "trial.process";
/// Of the first generation: a trial has no other one.
const TRIGGER: &str = "
    CREATE TABLE public.writers (fence BIGINT NOT NULL, process TEXT NOT NULL, PRIMARY KEY (fence, process));
    CREATE FUNCTION public.write_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.writers VALUES (NEW.fence, current_setting('trial.process')) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    CREATE TRIGGER write_down AFTER UPDATE ON advisor_generation_1.checkpoint
        FOR EACH ROW EXECUTE FUNCTION public.write_down();";
const ALL: &str = "SELECT fence, process FROM public.writers ORDER BY fence, process";
const OF_SEVERAL: &str = "SELECT fence, string_agg(process, ' and ') FROM public.writers GROUP BY fence
    HAVING count(*) > 1";

/// The database of the process of this name.
pub(super) fn signed(database: &str, process: &str) -> String {
    format!("{database}?options[{NAME}]={process}")
}

/// Writes them down from now on: the processes have made their tables.
pub(super) fn watch(database: &str) {
    sql(database, TRIGGER);
}

/// Under each fence one process alone has written: an owner that another one has followed writes nothing.
pub(super) fn check(database: &str) {
    let several = sql(database, OF_SEVERAL);
    assert!(several.is_empty(), "more than one has written under a fence: {several}");
}

/// How many owners have written, one after another.
pub(super) fn count(database: &str) -> usize {
    sql(database, ALL).lines().count()
}
