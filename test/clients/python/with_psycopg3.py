# psycopg 3: it prepares what it has seen five times, and pipelines where it is asked to.
import threading

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from cases import case, code_of, done, url

connection = psycopg.connect(url, autocommit=True)


@case
def a_table():
    connection.execute("DROP TABLE IF EXISTS users")
    return connection.execute("CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[], extra jsonb)").statusmessage


@case
def create_read_update_delete():
    made = connection.execute(
        "INSERT INTO users (name, born, tags, extra) VALUES (%s, %s, %s, %s) RETURNING *", ["Ada", "1815-12-10", ["a", "b"], Jsonb({"first": True})]
    ).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO users (name) VALUES (%s)", [["Bob"], ["Cyd"]])
    updated = connection.execute("UPDATE users SET name = name || '!' WHERE id = %s", [2]).rowcount
    deleted = connection.execute("DELETE FROM users WHERE id = %s", [3]).rowcount
    rows = connection.cursor(row_factory=dict_row).execute("SELECT id, name FROM users ORDER BY id")
    return made, updated, deleted, rows.fetchall(), [(column.name, column.type_code) for column in rows.description]


@case
def prepared_after_five():
    return [connection.execute("SELECT name, %s::int FROM users WHERE id = %s", [n, n % 3]).fetchall() for n in range(20)]


@case
def prepared_at_once_and_many():
    return [connection.execute(f"SELECT %s::int + {n}", [n], prepare=True).fetchone() for n in range(150)]


@case
def binary():
    cursor = connection.cursor(binary=True)
    return cursor.execute("SELECT %s::int, %s::float8, %s::text[], now() > '2000-01-01'", [7, 1.5, ["a"]]).fetchall()


@case
def a_pipeline():
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", [n]) for n in range(100)]
        connection.execute("UPDATE users SET tags = '{x}'")
        after = connection.execute("SELECT tags FROM users ORDER BY id")
        return [cursor.fetchone()[0] for cursor in cursors], after.fetchall()


@case
def an_error_in_a_pipeline():
    def run():
        with connection.pipeline():
            connection.execute("INSERT INTO users (name) VALUES ('lost')")
            connection.execute("SELECT nothing")
            connection.execute("SELECT 1")

    return code_of(run), connection.execute("SELECT count(*) FROM users WHERE name = 'lost'").fetchone()


@case
def transactions_and_savepoints():
    with psycopg.connect(url) as other:
        other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        other.execute("INSERT INTO users (name) VALUES ('Dan')")

        def nested():
            with other.transaction():
                other.execute("INSERT INTO users (name) VALUES ('Ada')")

        code = code_of(nested)
        seen = other.execute("SELECT count(*), current_setting('transaction_isolation') FROM users").fetchone()
        other.rollback()
        other.isolation_level = None
        other.read_only = True
        read_only = code_of(lambda: other.execute("DELETE FROM users"))
        other.rollback()
        return code, seen, read_only, other.execute("SELECT count(*) FROM users").fetchone()


@case
def errors():
    return [
        code_of(lambda: connection.execute("SELECT nothing")),
        code_of(lambda: connection.execute("SELEC 1")),
        code_of(lambda: connection.execute("SELECT 1 / %s", [0])),
        code_of(lambda: connection.execute("INSERT INTO users (name) VALUES ('Ada')")),
    ]


@case
def a_server_side_cursor():
    with psycopg.connect(url) as other, other.cursor(name="mine", scrollable=True) as cursor:
        cursor.itersize = 10
        cursor.execute("SELECT generate_series(1, %s)", [35])
        some = cursor.fetchmany(5)
        cursor.scroll(-2)
        return some, sum(row[0] for row in cursor)


@case
def a_cursor_that_is_held():
    with connection.cursor(name="held", withhold=True) as cursor:
        cursor.execute("SELECT generate_series(1, 10)")
        some = cursor.fetchmany(3)
        connection.execute("UPDATE users SET tags = '{y}'")
        return some, cursor.fetchall()


@case
def a_stream():
    return sum(row[0] for row in connection.cursor().stream("SELECT generate_series(1, %s)", [1000]))


@case
def copy_both_ways():
    cursor = connection.cursor()
    with cursor.copy("COPY users (name) FROM STDIN") as copy:
        for n in range(1000):
            copy.write_row([f"copied {n}"])
    with cursor.copy("COPY (SELECT name FROM users ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["text"])
        count = sum(1 for _ in copy.rows())
    with connection.pipeline():
        pass

    def given_up():
        with cursor.copy("COPY users (name) FROM STDIN") as copy:
            copy.write_row(["never"])
            raise KeyError("enough")

    return count, code_of(given_up), connection.execute("SELECT count(*) FROM users").fetchone()


@case
def listen_and_notify():
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("LISTEN news")
        connection.execute("SELECT pg_notify('news', %s)", ["hello"])
        return [(heard.channel, heard.payload) for heard in listener.notifies(timeout=30, stop_after=1)]


@case
def cancel():
    over = threading.Event()

    def soon():
        while not over.wait(0.5):  # again where it came before the statement ran
            connection.cancel_safe()

    thread = threading.Thread(target=soon)
    thread.start()
    code = code_of(lambda: connection.execute("SELECT pg_sleep(60)"))
    over.set()
    thread.join()
    return code, connection.execute("SELECT 1").fetchone()


@case
def settings():
    with psycopg.connect(url, options="-c statement_timeout=5s -c search_path=public", application_name="mine") as other:
        other.execute("SET TIME ZONE 'Asia/Tokyo'")
        other.commit()
        names = ["statement_timeout", "search_path", "application_name", "TimeZone"]
        return [other.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in names], other.info.timezone, other.info.encoding


connection.close()
done()
