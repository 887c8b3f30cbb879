# What the programs in this folder have in common: where the server is, and how a case says what became of it.
# One line each: `ok NAME: WHAT IT SAW` or `not ok NAME: WHY`. See test/support/clients.ts, which reads them.
import inspect
import os
import sys
import traceback

url = os.environ["DATABASE_URL"]
failed = False


def case(run):
    """Runs a function (or coroutine function, then it is to be awaited) as the case that its name names."""
    name = run.__name__.replace("_", " ")
    if inspect.iscoroutinefunction(run):

        async def later():
            try:
                say(name, await run())
            except Exception:
                fail(name)

        return later()
    try:
        say(name, run())
    except Exception:
        fail(name)


def say(name, value):
    print(f"ok {name}: {value!r}".replace("\n", " | "), flush=True)


def fail(name):
    global failed
    failed = True
    print(f"not ok {name}: {traceback.format_exc()}".replace("\n", " | "), flush=True)


def code_of(run):
    """The code of the error that must come."""
    try:
        run()
        return "no error"
    except Exception as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or repr(error)


def done():
    print("done", flush=True)
    sys.exit(1 if failed else 0)
