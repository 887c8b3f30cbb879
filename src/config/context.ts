// config/context.ts — what every builder is given: where findings go, and how texts become secrets and certificates.
import type { Findings } from './findings.js'
import type { Path } from './locator.js'
import { readFailure, type Surroundings } from './surroundings.js'

export interface Context {
  readonly findings: Findings
  readonly surroundings: Surroundings
}

/** A secret: itself, or the content of `file:PATH` without its last line end. null where it is not given or not readable. */
export function secretFrom(context: Context, path: Path, value: string | undefined): string | null {
  if (value === undefined) return null
  if (!value.startsWith('file:')) return value
  const content = readText(context, path, value.slice('file:'.length), 'file:PATH of a readable file')?.replace(/\r?\n$/, '')
  if (content !== '') return content ?? null
  context.findings.problem({ path, allowed: 'a file that is not empty', message: 'the secret is unset: the file is empty' })
  return null
}

/** PEM text: itself, or the content of the file it names. null where it is not given or not readable. */
export function pemFrom(context: Context, path: Path, value: string | undefined): string | null {
  if (value === undefined) return null
  const isText = value.includes('-----BEGIN')
  const content = isText ? value : readText(context, path, value.replace(/^file:/, ''), 'the path of a readable PEM file')
  if (content === null || content.includes('-----BEGIN')) return content
  context.findings.problem({ path, allowed: 'the path of a PEM file', message: 'the file holds no PEM block (-----BEGIN …)' })
  return null
}

function readText(context: Context, path: Path, file: string, allowed: string): string | null {
  try {
    return context.surroundings.readFile(file)
  } catch (error) {
    context.findings.problem({ path, allowed, message: `cannot read the file: ${readFailure(error)}` })
    return null
  }
}
