// test/support/client-tools.ts — what programs in other languages need: packages and binaries, made once for each content and kept
// in the user's cache, where they outlive the packages of Node. Where a language is not installed, or its packages cannot be had, the reason is the value for tap's `skip`.
// What cannot be compiled is an error.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findCommand } from './commands.js'

/** A folder with what was made, or why there is none. */
export type Made = { readonly folder: string; readonly skip: false } | { readonly folder: null; readonly skip: string }

const root = fileURLToPath(new URL('../..', import.meta.url))
const clients = join(root, 'test/clients')

/** For packages to arrive; a registry that does not answer must not hold the tests up. */
const fetchMs = 120_000

/** The drivers of Python, as a folder for PYTHONPATH. */
export async function pythonPackages(): Promise<Made> {
  const python = findCommand('python3')
  if (python === null) return without('python3 is not installed')
  const version = await command(python, ['--version'], root, 60_000)
  const requirements = join(clients, 'python/requirements.txt')
  return made('python', [version.said, readFileSync(requirements, 'utf8')], (folder) =>
    command(python, ['-m', 'pip', 'install', '--quiet', '--no-input', '--target', folder, '--requirement', requirements], root, fetchMs),
  )
}

/** The programs in Go, built, by the names of their folders. */
export async function goPrograms(names: readonly string[]): Promise<Made> {
  const go = findCommand('go')
  if (go === null) return without('go is not installed')
  const source = join(clients, 'go')
  const files = ['go.mod', 'go.sum', 'cases/cases.go', ...names.map((name) => `${name}/main.go`)].map((name) => join(source, name))
  return made('go', files.map(text), async (folder) => {
    const fetched = await command(go, ['mod', 'download'], source, fetchMs)
    if (!fetched.ok) return fetched
    mkdirSync(folder)
    return must(await command(go, ['build', '-o', `${folder}/`, ...names.map((name) => `./${name}`)], source, 280_000))
  })
}

/** A program in Java, compiled, with its driver as `driver.jar`. */
export async function javaProgram(name: string, artifact: string): Promise<Made> {
  const [maven, javac] = [findCommand('mvn'), findCommand('javac')]
  if (javac === null || maven === null) return without(`${javac === null ? 'javac' : 'mvn'} is not installed`)
  const source = join(clients, 'java', `${name}.java`)
  const version = await command(javac, ['-version'], clients, 60_000)
  return made('java', [version.said, artifact, text(source)], async (folder) => {
    const copy = ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`, '-Dmdep.stripVersion=true']
    const fetched = await command(maven, copy, clients, fetchMs)
    if (!fetched.ok) return fetched
    const [, driver] = artifact.split(':')
    cpSync(join(folder, `${driver ?? ''}.jar`), join(folder, 'driver.jar'))
    return must(await command(javac, ['-cp', join(folder, 'driver.jar'), '-d', folder, source], clients, 120_000))
  })
}

interface Answer {
  readonly ok: boolean
  readonly said: string
}

function without(why: string): Made {
  return { folder: null, skip: why }
}

/** Where nothing can be kept for the user, it is kept for this clone. */
function cacheFolder(): string {
  const shared = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'pointsman/clients')
  try {
    mkdirSync(shared, { recursive: true })
    accessSync(shared, constants.W_OK)
    return shared
  } catch {
    const own = join(root, 'node_modules/.cache/clients')
    mkdirSync(own, { recursive: true })
    return own
  }
}

/** Makes the folder for this content in another's place and then gives it its name, so that one that is there is whole. */
async function made(name: string, content: readonly string[], make: (folder: string) => Promise<Answer>): Promise<Made> {
  const machine = [process.platform, process.arch]
  const hash = createHash('sha256')
    .update([...machine, ...content].join('\0'))
    .digest('hex')
    .slice(0, 16)
  const folder = join(cacheFolder(), `${name}-${hash}`)
  if (existsSync(folder)) return { folder, skip: false }
  const unfinished = `${folder}.${String(process.pid)}`
  try {
    const { ok, said } = await make(unfinished)
    if (!ok) return without(`its packages cannot be had: ${said.trimEnd().split('\n').at(-1) ?? ''}`)
    if (!existsSync(folder)) renameSync(unfinished, folder)
    return { folder, skip: false }
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

function text(path: string): string {
  return readFileSync(path, 'utf8')
}

function must(answer: Answer): Answer {
  if (!answer.ok) throw new Error(answer.said)
  return answer
}

async function command(path: string, args: readonly string[], cwd: string, limitMs: number): Promise<Answer> {
  const child = spawn(path, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: limitMs, killSignal: 'SIGKILL' })
  let said = ''
  child.stdout.on('data', (data: Buffer) => (said += data.toString()))
  child.stderr.on('data', (data: Buffer) => (said += data.toString()))
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      said += error.message
      resolve(null)
    })
    child.on('close', resolve)
  })
  return { ok: code === 0, said }
}
