// doors/cli/config-file.ts — finds, reads and checks the config of a command: -c, else POINTSMAN_CONFIG, else (where a
// command allows it) the config of the demo that runs, or ran, in this directory.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Config, Problem } from '../../config/config.js'
import { printProblem } from '../../config/findings.js'
import type { Locator } from '../../config/locator.js'
import { readFailure, type Surroundings } from '../../config/surroundings.js'
import type { Result } from '../../config/validate.js'
import { locatorFor, parseConfigText } from '../../config/yaml.js'
import { CommandError, exit, type Io } from './io.js'
import { moduleFrom, withModules } from './modules.js'

export interface ConfigFile {
  readonly path: string
  /** As the user would name it. */
  readonly shown: string
  readonly text: string
  /** Paths of what the config names, read or not: certificates, keys, secrets. */
  readonly files: readonly string[]
  readonly source: ConfigSource
  readonly result: Result
}

/** All that a config was made from, besides the environment: another process makes the same one of it. */
export interface ConfigSource {
  readonly text: string
  /** What the files hold that it names, by the names it has for them; null: could not be read. */
  readonly files: Readonly<Record<string, string | null>>
}

/** Where the demo keeps its servers and its config. */
export function demoDirectory(io: Io): string {
  return join(io.cwd, '.pointsman')
}

export function demoConfigPath(io: Io): string {
  return join(demoDirectory(io), 'demo.yaml')
}

/** The file that -c or the environment names; null where neither does. */
export function namedConfig(option: string | undefined, io: Io): string | null {
  const named = option ?? io.env['POINTSMAN_CONFIG']
  return named === undefined || named === '' ? null : resolve(io.cwd, named)
}

/** As namedConfig(), or else the demo's. Throws usage where there is none. */
export function anyConfig(option: string | undefined, io: Io): string {
  const path = namedConfig(option, io) ?? (existsSync(demoConfigPath(io)) ? demoConfigPath(io) : null)
  if (path !== null) return path
  throw new CommandError(exit.usage, 'no config: give -c FILE, set POINTSMAN_CONFIG, or start the demo here with: pointsman serve')
}

/** Throws usage where the file itself cannot be read; what is in it is in `result`. */
export function readConfigFile(path: string, io: Io): Promise<ConfigFile> {
  return withModules(() => readOnce(path, io))
}

function readOnce(path: string, io: Io): ConfigFile {
  const shown = relative(io.cwd, path)
  const file = { path, shown: shown === '' || shown.startsWith('..') ? path : shown }
  try {
    const text = readFileSync(path, 'utf8')
    const files: string[] = []
    const contents: Record<string, string | null> = {}
    const result = parseConfigText(text, surroundingsOf(path, io, files, contents))
    return { ...file, text, files, source: { text, files: contents }, result }
  } catch (error) {
    throw new CommandError(exit.usage, `cannot read ${file.shown}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
}

/** The config that another process has read. */
export function configFrom({ text, files }: ConfigSource, io: Pick<Io, 'env'>): Promise<Result> {
  const readFile = (name: string): string => {
    const found = files[name] ?? null
    if (found === null) throw Object.assign(new Error(`${name} could not be read`), { code: 'ENOENT' })
    return found
  }
  return withModules(() => parseConfigText(text, { env: io.env, readFile, module: (name) => moduleAt(name, readFile) }))
}

/** The config, or its problems on stderr and exit 1. */
export async function goodConfig(path: string, io: Io): Promise<{ readonly file: ConfigFile; readonly config: Config }> {
  const file = await readConfigFile(path, io)
  if (file.result.ok) return { file, config: file.result.config }
  for (const line of problemLines(file.shown, file.result.problems)) io.err(line)
  throw new CommandError(exit.no, `${file.shown} has ${count(file.result.problems.length, 'problem')}`)
}

export function locate(file: ConfigFile): Locator {
  return locatorFor(file.text)
}

/** `file:line:column: path: what is wrong`. */
export function problemLines(shown: string, problems: readonly Problem[], kind = ''): readonly string[] {
  return problems.map((problem) => {
    const line = printProblem(problem)
    const place = problem.line === null ? ' ' : ':'
    return `${shown}${place}${line.replace(/^(\d+:\d+) /, `$1: ${kind}`)}`
  })
}

export function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`
}

// Paths in a config are relative to the config.
function surroundingsOf(path: string, io: Io, files: string[], contents: Record<string, string | null>): Surroundings {
  const readFile = (file: string): string => {
    const named = resolve(dirname(path), file)
    files.push(named)
    contents[file] = null
    const text = readFileSync(named, 'utf8')
    contents[file] = text
    return text
  }
  return { env: io.env, readFile, module: (name) => moduleAt(name, readFile) }
}

function moduleAt(name: string, readFile: Surroundings['readFile']): ReturnType<typeof moduleFrom> {
  try {
    return moduleFrom(name, readFile(name))
  } catch (error) {
    return `cannot be read: ${readFailure(error)}`
  }
}
