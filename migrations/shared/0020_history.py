"""A function of PostgreSQL that names the history of the server that the tables are a part of.

A server that lost commits has another one: a standby that was promoted and a recovery to a point in time begin a new
timeline, a new cluster has another system identifier, and a database that was made from a dump or a template has
another number. A restart after a crash changes none of them.
"""

from alembic import op

revision = "0020"
down_revision = "0019"

#: What does not change during a session is kept in settings of the session, because it is asked with each call: to read
#: the system identifier takes 50 µs, and to catch an error 5 µs. A managed server may refuse one of the functions; then
#: this part is left out. The timeline of the control file would not do: it changes with the first checkpoint after a
#: promotion.
HISTORY = """
CREATE FUNCTION hammer_history() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place text := current_setting('hammer.place', true);
    server text := '-';
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'a standby takes no changes' USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    IF coalesce(place, '') = '' THEN
        PERFORM set_config('hammer.timeline', '', false);
        BEGIN
            SELECT system_identifier INTO server FROM pg_control_system();
        EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_function THEN
            RAISE DEBUG 'the system identifier may not be read';
        END;
        BEGIN
            PERFORM pg_walfile_name(pg_current_wal_insert_lsn());
        EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_function THEN
            PERFORM set_config('hammer.timeline', '-', false);
        END;
        place := server || ' ' || (SELECT oid FROM pg_database WHERE datname = current_database());
        PERFORM set_config('hammer.place', place, false);
    END IF;
    IF current_setting('hammer.timeline', true) = '-' THEN
        RETURN place || ' -';
    END IF;
    RETURN place || ' ' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
END $$
"""


def upgrade() -> None:
    """Add the function."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(HISTORY)
