// What the programs in this folder have in common: where the server is, and how a case says what became of it.
// One line each: `ok NAME: WHAT IT SAW` or `not ok NAME: WHY`. See test/support/clients.ts, which reads them.

/** `postgres://user:password@host:port/database` */
export const url = process.env['DATABASE_URL']

export async function check(name, run) {
  try {
    console.log(`ok ${name}: ${JSON.stringify((await run()) ?? null)}`)
  } catch (error) {
    console.log(`not ok ${name}: ${String(error?.stack ?? error).replaceAll('\n', ' | ')}`)
    process.exitCode = 1
  }
}

/** The code of the error that must come. */
export async function codeOf(promise) {
  const error = await Promise.resolve(promise).then(
    () => ({ code: 'no error' }),
    (caught) => caught,
  )
  return error.code ?? error.original?.code ?? error.parent?.code ?? error.driverError?.code ?? error.cause?.originalCode ?? String(error)
}

/** Says that the program came to its end; whatever still holds it open does not count. */
export function done() {
  console.log('done')
}
