# psycopg2: simple queries with the values put in by itself; a transaction begins with the first of them.
import io
import select
import threading

import psycopg2
import psycopg2.extras
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from cases import case, code_of, done, url

connection = psycopg2.connect(url)
cursor = connection.cursor()


def ask(sql, values=None):
    cursor.execute(sql, values)
    return cursor.fetchall()


@case
def a_table():
    cursor.execute("DROP TABLE IF EXISTS users; CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[], extra jsonb)")
    connection.commit()
    return cursor.statusmessage


@case
def create_read_update_delete():
    insert = "INSERT INTO users (name, born, tags, extra) VALUES (%s, %s, %s, %s) RETURNING *"
    made = ask(insert, ["Ada", "1815-12-10", ["a", "b"], psycopg2.extras.Json({"first": True})])
    psycopg2.extras.execute_values(cursor, "INSERT INTO users (name) VALUES %s", [("Bob",), ("Cyd",)])
    cursor.execute("UPDATE users SET name = name || '!' WHERE id = %s", [2])
    updated = cursor.rowcount
    cursor.execute("DELETE FROM users WHERE id = %s", [3])
    connection.commit()
    return made, updated, cursor.rowcount, ask("SELECT id, name FROM users ORDER BY id"), [column[:2] for column in cursor.description]


@case
def transactions():
    connection.rollback()
    with connection:
        cursor.execute("INSERT INTO users (name) VALUES ('Dan')")

    def both():
        with connection:
            cursor.execute("DELETE FROM users")
            cursor.execute("INSERT INTO nowhere VALUES (1)")

    code = code_of(both)
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True)
    seen = ask("SELECT count(*), current_setting('transaction_isolation'), current_setting('transaction_read_only') FROM users")
    read_only = code_of(lambda: cursor.execute("DELETE FROM users"))
    connection.rollback()
    connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT", deferrable="DEFAULT")
    return code, seen, read_only, ask("SELECT count(*), current_setting('transaction_isolation') FROM users")


@case
def autocommit():
    connection.rollback()
    connection.autocommit = True
    cursor.execute("INSERT INTO users (name) VALUES ('Eve')")
    codes = [code_of(lambda: cursor.execute(sql)) for sql in ["SELECT nothing", "SELEC 1", "SELECT 1 / 0", "INSERT INTO users (name) VALUES ('Ada')"]]
    connection.autocommit = False
    return codes, ask("SELECT count(*) FROM users")


@case
def prepared_in_sql():
    cursor.execute("PREPARE by_id (int) AS SELECT name FROM users WHERE id = $1")
    connection.commit()
    rows = []
    for n in range(5):
        rows.append(ask("EXECUTE by_id (%s)", [n % 3]))
        connection.commit()
    cursor.execute("DEALLOCATE by_id")
    connection.commit()
    return rows


@case
def a_server_side_cursor():
    with connection.cursor("mine") as named:
        named.itersize = 10
        named.execute("SELECT generate_series(1, 35)")
        total = sum(row[0] for row in named)
    connection.commit()
    held = connection.cursor("held", withhold=True)
    held.execute("SELECT generate_series(1, 10)")
    connection.commit()
    rows = held.fetchall()
    held.close()
    connection.commit()
    return total, rows


@case
def copy_both_ways():
    cursor.copy_expert("COPY users (name) FROM STDIN", io.StringIO("".join(f"copied {n}\n" for n in range(1000))))
    out = io.StringIO()
    cursor.copy_to(out, "users", columns=["name"])
    connection.commit()
    code = code_of(lambda: cursor.copy_expert("COPY users (name) FROM STDIN", io.StringIO("a\tb\n")))
    connection.rollback()
    return len(out.getvalue().splitlines()), code


@case
def listen_and_notify():
    listener = psycopg2.connect(url)
    listener.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    listener.cursor().execute("LISTEN news")
    cursor.execute("NOTIFY news, 'hello'")
    connection.commit()
    while not listener.notifies:
        select.select([listener], [], [], 30)
        listener.poll()
    heard = listener.notifies.pop(0)
    listener.close()
    return heard.channel, heard.payload


@case
def cancel():
    over = threading.Event()

    def soon():
        while not over.wait(0.5):  # again where it came before the statement ran
            connection.cancel()

    thread = threading.Thread(target=soon)
    thread.start()
    code = code_of(lambda: cursor.execute("SELECT pg_sleep(60)"))
    over.set()
    thread.join()
    connection.rollback()
    return code, ask("SELECT 1")


@case
def settings():
    other = psycopg2.connect(url, options="-c statement_timeout=5s", application_name="mine")
    other.set_client_encoding("LATIN1")
    with other.cursor() as asking:
        asking.execute("SELECT current_setting('statement_timeout'), current_setting('application_name'), current_setting('client_encoding'), 'ä'")
        seen = asking.fetchall()
    other.reset()
    code = other.get_parameter_status("client_encoding")
    other.close()
    return seen, code


connection.close()
done()
