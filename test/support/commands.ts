// test/support/commands.ts — programs that may be there or not: psql, pgbench, pg_dump, pgbouncer. A test that needs one says so:
// `t.test('\\d works', { skip: hasCommand('psql') ? false : 'psql is not installed' }, …)`, and is counted as skipped.
import { accessSync, constants, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Full path of a program on the PATH or among Debian's PostgreSQL programs, or null. */
export function findCommand(name: string): string | null {
  for (const directory of directories()) {
    const path = join(directory, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      continue
    }
  }
  return null
}

export function hasCommand(name: string): boolean {
  return findCommand(name) !== null
}

/** The value for tap's `skip` option: false, or why the test is skipped. */
export function skipWithout(name: string): string | false {
  return hasCommand(name) ? false : `${name} is not installed`
}

function directories(): readonly string[] {
  const debian = '/usr/lib/postgresql'
  const versions = list(debian).sort((a, b) => Number(b) - Number(a))
  return [...(process.env['PATH'] ?? '').split(':'), ...versions.map((version) => join(debian, version, 'bin'))]
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
