# SQLAlchemy 2, its core and its ORM, over psycopg 3, psycopg2 and asyncpg: one after another, the same cases.
import asyncio

from sqlalchemy import ForeignKey, String, create_engine, inspect, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from cases import case, code_of, done, url


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    karma: Mapped[int] = mapped_column(default=0)
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    extra: Mapped[dict | None] = mapped_column(JSONB)
    posts: Mapped[list["Post"]] = relationship(back_populates="user", cascade="all, delete-orphan", order_by="Post.id")


class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    user: Mapped[User] = relationship(back_populates="posts")


def with_driver(driver):
    engine = create_engine(url.replace("postgres:", f"postgresql+{driver}:"))

    @case
    def tables():
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS posts, users CASCADE"))
        Base.metadata.create_all(engine)
        found = inspect(engine)
        return [(column["name"], str(column["type"])) for column in found.get_columns("users")], found.get_foreign_keys("posts")

    @case
    def create_read_update_delete():
        with Session(engine) as session:
            session.add(User(name="Ada", tags=["a"], extra={"first": True}, posts=[Post(title="one"), Post(title="two")]))
            session.add_all([User(name=f"user {n}") for n in range(30)])
            session.commit()
            ada = session.scalars(select(User).where(User.name == "Ada").options(selectinload(User.posts))).one()
            ada.karma += 5
            ada.posts.pop()
            session.commit()
            changed = session.execute(update(User).where(User.name.like("user 1%")).values(karma=1)).rowcount
            session.delete(session.scalars(select(User).where(User.name == "user 29")).one())
            session.commit()
            found = session.scalars(select(User).order_by(User.id).limit(3))
            return changed, [(user.name, user.karma, user.tags, user.extra, [post.title for post in user.posts]) for user in found]

    @case
    def transactions_and_savepoints():
        with Session(engine) as session, session.begin():
            session.add(User(name="Dan"))
            session.flush()

            def nested():
                with session.begin_nested():
                    session.execute(text("INSERT INTO users (name, karma) VALUES ('Ada', 0)"))

            code = code_of(nested)
            count = session.scalar(text("SELECT count(*) FROM users"))
            session.rollback()
        with engine.connect() as connection:
            return code, count, connection.scalar(text("SELECT count(*) FROM users"))

    @case
    def isolation_levels():
        seen = []
        for level in ["SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"]:
            with engine.connect().execution_options(isolation_level=level) as connection:
                seen.append(connection.scalar(text("SELECT current_setting('transaction_isolation')")))
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            seen.append(code_of(lambda: connection.execute(text("DELETE FROM posts"))))
        with engine.connect() as connection:  # as it was before
            seen.append(connection.scalar(text("SELECT current_setting('transaction_isolation')")))
        return seen

    @case
    def upsert_and_returning():
        with engine.begin() as connection:
            values = insert(User).values([{"name": "Ada", "karma": 9}, {"name": "Eve", "karma": 1}])
            done = values.on_conflict_do_update(index_elements=["name"], set_={"karma": values.excluded.karma}).returning(User.name, User.karma)
            return [tuple(row) for row in connection.execute(done)]

    @case
    def errors():
        def run(sql):
            with engine.connect() as connection:
                connection.execute(text(sql))

        return [code_of(lambda: run(sql)) for sql in ["SELECT nothing", "SELEC 1", "SELECT 1 / 0", "INSERT INTO users (name, karma) VALUES ('Ada', 1)"]]

    @case
    def a_stream():
        with engine.connect().execution_options(stream_results=True, max_row_buffer=50) as connection:
            return sum(n for (n,) in connection.execute(text("SELECT generate_series(1, 1000)")))

    engine.dispose()


async def with_asyncpg():
    engine = create_async_engine(url.replace("postgres:", "postgresql+asyncpg:"))
    make = async_sessionmaker(engine)

    async def asynchronously():
        async with make() as session, session.begin():
            session.add(User(name="Fay", posts=[Post(title="three")]))
        async with make() as session:
            rows = (await session.scalars(select(User).where(User.name == "Fay").options(selectinload(User.posts)))).all()
            return [(user.name, [post.title for post in user.posts]) for user in rows]

    async def an_asynchronous_stream():
        async with engine.connect() as connection:
            total = 0
            async for row in await connection.stream(text("SELECT generate_series(1, 500)")):
                total += row[0]
            return total

    async def asynchronous_errors():
        async def run(sql):
            try:
                async with engine.begin() as connection:
                    await connection.execute(text(sql))
                return "no error"
            except Exception as error:
                return error.orig.sqlstate

        return [await run(sql) for sql in ["SELECT nothing", "SELECT 1 / 0", "INSERT INTO users (name, karma) VALUES ('Ada', 1)"]]

    for run in [asynchronously, an_asynchronous_stream, asynchronous_errors]:
        await case(run)
    await engine.dispose()


with_driver("psycopg")
with_driver("psycopg2")
asyncio.run(with_asyncpg())
done()
