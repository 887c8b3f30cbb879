# Django's ORM over psycopg 3 in one file: its settings, two models, no project.
import sys
from urllib.parse import urlsplit

import django
from django.apps import AppConfig
from django.conf import settings

from cases import case, code_of, done, url

where = urlsplit(url)
database = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": where.path[1:],
    "USER": where.username,
    "PASSWORD": where.password,
    "HOST": where.hostname,
    "PORT": where.port,
}
# The defaults; and connections that are kept, with values bound by the server.
databases = {
    "default": database,
    "kept": {**database, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True, "OPTIONS": {"server_side_binding": True}},
}
this = AppConfig("app", sys.modules["__main__"])
settings.configure(DATABASES=databases, INSTALLED_APPS=[this], USE_TZ=True, TIME_ZONE="Europe/Berlin", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.db import connection, connections, models, reset_queries, transaction  # noqa: E402
from django.db.models import Count, F  # noqa: E402


class User(models.Model):
    name = models.TextField(unique=True)
    karma = models.IntegerField(default=0)
    born = models.DateTimeField(null=True)
    extra = models.JSONField(default=dict)

    class Meta:
        app_label = "app"
        db_table = "users"


class Post(models.Model):
    title = models.TextField()
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="posts")

    class Meta:
        app_label = "app"
        db_table = "posts"


@case
def tables():
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS posts, users CASCADE")
    with connection.schema_editor() as editor:
        editor.create_model(User)
        editor.create_model(Post)
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_description(cursor, "users")
        return connection.introspection.table_names(cursor), [column.name for column in found], connection.introspection.get_constraints(cursor, "posts")


def with_connection(name):
    users = User.objects.using(name)

    @case
    def create_read_update_delete():
        users.all().delete()
        ada = users.create(name="Ada", born="1815-12-10T00:00:00Z", extra={"first": True})
        Post.objects.using(name).create(title="one", user=ada)
        users.bulk_create([User(name=f"user {n}") for n in range(50)])
        changed = users.filter(name__startswith="user 1").update(karma=F("karma") + 2)
        deleted = users.filter(name="user 49").delete()
        ada.refresh_from_db()
        found = users.annotate(n=Count("posts")).order_by("id").values_list("name", "karma", "n", "extra", "born")[:3]
        return changed, deleted, list(found), users.filter(extra__first=True).count(), [user.name for user in users.prefetch_related("posts")[:2]]

    @case
    def get_or_create():
        made = [users.get_or_create(name="Dan", defaults={"karma": 1})[1] for _ in range(2)]
        return made, users.update_or_create(name="Dan", defaults={"karma": 4})[0].karma

    @case
    def transactions_and_savepoints():
        def all_of_it():
            with transaction.atomic(using=name):
                users.create(name="Eve")
                try:
                    with transaction.atomic(using=name):
                        users.create(name="Ada")
                except django.db.IntegrityError:
                    seen.append(users.filter(name="Eve").count())
                seen.append(users.select_for_update().get(name="Ada").karma)
                users.create(name="Ada")

        seen = []
        return code_of(all_of_it), seen, users.filter(name="Eve").count()

    @case
    def errors():
        def run(sql):
            with connections[name].cursor() as cursor:
                cursor.execute(sql)

        return [code_of(lambda: run(sql)) for sql in ["SELECT nothing", "SELEC 1", "SELECT 1 / 0"]], code_of(lambda: users.create(name="Ada"))

    @case
    def an_iterator():  # a server-side cursor, WITH HOLD outside of transactions
        seen = []
        for user in users.order_by("id").iterator(chunk_size=10):
            if len(seen) == 15:
                users.filter(name="Ada").update(karma=7)
            seen.append(user.name)
        with transaction.atomic(using=name):
            return seen, sum(1 for _ in users.iterator(chunk_size=5))

    @case
    def between_two_requests():
        seen = []
        for n in range(3):
            reset_queries()
            django.db.close_old_connections()
            seen.append(users.get(name="Ada").karma)
        return seen

    @case
    def time_zones():
        with connections[name].cursor() as cursor:
            cursor.execute("SELECT current_setting('TimeZone'), now() > %s", ["2000-01-01"])
            return cursor.fetchall(), users.get(name="Ada").born.isoformat(), [str(d) for d in users.filter(born__isnull=False).datetimes("born", "year")]


for each in ["default", "kept"]:
    with_connection(each)
connections.close_all()
done()
