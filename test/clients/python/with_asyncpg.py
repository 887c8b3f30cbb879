# asyncpg: everything is prepared under a name and kept, types are looked up in the catalog by a recursive query.
import asyncio
import io

import asyncpg

from cases import case, done, url


async def code_of(awaitable):
    try:
        await awaitable
        return "no error"
    except Exception as error:
        return getattr(error, "sqlstate", None) or type(error).__name__


async def main():
    connection = await asyncpg.connect(url)
    plain = lambda rows: [dict(row) for row in rows]

    async def a_table():
        await connection.execute("DROP TABLE IF EXISTS users; DROP TYPE IF EXISTS mood")
        await connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        return await connection.execute(
            "CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[], mood mood, moods mood[])"
        )

    async def create_read_update_delete():
        insert = "INSERT INTO users (name, tags, mood, moods) VALUES ($1, $2, $3, $4) RETURNING *"
        made = await connection.fetch(insert, "Ada", ["a", "b"], "happy", ["ok", "sad"])
        await connection.executemany("INSERT INTO users (name) VALUES ($1)", [("Bob",), ("Cyd",)])
        updated = await connection.execute("UPDATE users SET name = name || '!' WHERE id = $1", 2)
        deleted = await connection.execute("DELETE FROM users WHERE id = $1", 3)
        return plain(made), updated, deleted, plain(await connection.fetch("SELECT * FROM users ORDER BY id"))

    async def prepared_statements():
        by_id = await connection.prepare("SELECT name FROM users WHERE id = $1")
        rows = [await by_id.fetchval(n % 3) for n in range(10)]
        many = [await connection.fetchval(f"SELECT $1::int + {n}", n) for n in range(150)]
        return rows, [kind.name for kind in by_id.get_parameters()], [column.name for column in by_id.get_attributes()], many

    async def types_of_ones_own():
        await connection.execute("DROP TYPE IF EXISTS pair; CREATE TYPE pair AS (a int, b text)")
        await connection.set_type_codec("mood", encoder=lambda value: value, decoder=lambda value: value.upper(), format="text")
        return await connection.fetchval("SELECT (1, 'x')::pair"), await connection.fetchval("SELECT mood FROM users WHERE id = 1")

    async def transactions_and_savepoints():
        seen = []
        transaction = connection.transaction(isolation="serializable")
        await transaction.start()
        await connection.execute("INSERT INTO users (name) VALUES ('Dan')")

        async def nested():
            async with connection.transaction():
                await connection.execute("INSERT INTO users (name) VALUES ('Ada')")

        seen.append(await code_of(nested()))
        seen.append(await connection.fetchval("SELECT count(*) FROM users"))
        await transaction.rollback()
        async with connection.transaction(readonly=True):
            seen.append(await connection.fetchval("SELECT count(*) FROM users"))
        return seen

    async def errors():
        return [
            await code_of(connection.fetch("SELECT nothing")),
            await code_of(connection.fetch("SELEC 1")),
            await code_of(connection.fetch("SELECT 1 / $1::int", 0)),
            await code_of(connection.execute("INSERT INTO users (name) VALUES ('Ada')")),
            await code_of(connection.fetch("SELECT $1::int", "x")),
        ]

    async def after_a_change_of_the_table():
        before = plain(await connection.fetch("SELECT * FROM users WHERE id = $1", 2))
        await connection.execute("ALTER TABLE users ADD COLUMN karma int DEFAULT 7")
        return before, plain(await connection.fetch("SELECT * FROM users WHERE id = $1", 2))

    async def a_cursor():
        async with connection.transaction():
            total = 0
            async for row in connection.cursor("SELECT generate_series(1, $1::int) AS n", 120):
                total += row["n"]
            cursor = await connection.cursor("SELECT generate_series(1, 10) AS n")
            some = plain(await cursor.fetch(3))
            return total, some, await cursor.forward(2), plain(await cursor.fetch(2))

    async def copy_both_ways():
        copied = await connection.copy_records_to_table("users", columns=["name"], records=[(f"copied {n}",) for n in range(1000)])
        out = io.BytesIO()
        told = await connection.copy_from_query("SELECT name FROM users ORDER BY id", output=out)
        return copied, told, len(out.getvalue().splitlines())

    async def a_pool():
        async with asyncpg.create_pool(url, min_size=2, max_size=8) as pool:
            numbers = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(100)))
            async with pool.acquire() as one:
                await one.execute("SET application_name = 'gone'")
            async with pool.acquire() as one:  # released connections are reset
                return numbers, await one.fetchval("SELECT current_setting('application_name')")

    async def listen_and_notify():
        listener = await asyncpg.connect(url)
        heard = asyncio.get_running_loop().create_future()
        await listener.add_listener("news", lambda _connection, _pid, channel, payload: heard.set_result((channel, payload)))
        await connection.execute("SELECT pg_notify('news', $1)", "hello")
        told = await asyncio.wait_for(heard, 30)
        await listener.close()
        return told

    async def cancel():
        first = await code_of(connection.execute("SELECT pg_sleep(60)", timeout=1))
        running = asyncio.create_task(connection.fetch("SELECT pg_sleep(60)"))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        return first, running.cancelled(), await connection.fetchval("SELECT 1")

    async def settings():
        other = await asyncpg.connect(url, server_settings={"application_name": "mine", "statement_timeout": "5s"})
        seen = [await other.fetchval("SELECT current_setting($1)", name) for name in ["application_name", "statement_timeout", "jit"]]
        await other.execute("SET search_path = pg_catalog")
        await other.reset()
        seen.append(await other.fetchval("SELECT current_setting('search_path')"))
        seen.append(other.get_settings().application_name)
        await other.close()
        return seen

    for run in [
        a_table, create_read_update_delete, prepared_statements, types_of_ones_own, transactions_and_savepoints, errors,
        after_a_change_of_the_table, a_cursor, copy_both_ways, a_pool, listen_and_notify, cancel, settings,
    ]:  # fmt: skip
        await case(run)
    await connection.close()


asyncio.run(main())
done()
