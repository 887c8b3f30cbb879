// session/asynchronous-commit.ts — whether what a client sends, or has set, lets its commits be acknowledged before they are on
// disk. Clusters with `lsn_source: flush` must know BEFORE it is sent (CONSISTENCY §2.2). It errs to yes: a cluster that
// believes so uses insert positions, which are always right.
import { waitsForDisk } from '../consistency/position-query.js'
import type { SettingChange, Shape, Statement, Understood } from '../sql/statement.js'
import { effective, type SettingsState } from './settings.js'

const setting = 'synchronous_commit'

/** Of a server connection whose evidence says so. */
export const startsAsynchronous: string = `sessions of its user start with ${setting} off`

const known = new WeakMap<Shape, string | null>()

/** Why, in words; null: nothing of the kind. */
export function asynchronousCommit(understood: Understood, settings: SettingsState | null): string | null {
  const value = settings === null ? undefined : effective(settings, setting)
  if (value !== undefined && value !== '' && !waitsForDisk(value)) return `a session has set ${setting}`
  return ofText(understood)
}

function ofText({ shape, text }: Understood): string | null {
  let said = known.get(shape)
  if (said === undefined) {
    said = shape.statements === null ? null : firstOf(shape.statements, ofStatement)
    known.set(shape, said)
  }
  if (said !== null) return said
  // What is inside a body, or is not understood at all, cannot be followed: that it is named is enough.
  const opaque = shape.statements === null || shape.statements.some(({ detail }) => opaqueKinds.has(detail.kind))
  return opaque && text.toLowerCase().includes(setting) ? `a statement that cannot be followed names ${setting}` : null
}

const opaqueKinds: ReadonlySet<Statement['detail']['kind']> = new Set(['do', 'call', 'ddl', 'utility'])

function ofStatement({ detail, hiddenSettings }: Statement): string | null {
  if (hiddenSettings) return 'settings were changed in a way that cannot be followed'
  switch (detail.kind) {
    case 'set':
      return ofChange(detail.change)
    case 'select':
      return firstOf(detail.settings ?? [], ofChange)
    case 'prepare':
    case 'explain':
    case 'declare':
      return ofStatement(detail.inner)
    default:
      return null
  }
}

function ofChange({ name, value }: SettingChange): string | null {
  if (name !== setting || value === null) return null
  const [only] = value
  const waits = value.length === 1 && only?.kind === 'text' && waitsForDisk(only.text)
  return waits ? null : `a session sets ${setting}`
}

function firstOf<T>(items: readonly T[], of: (item: T) => string | null): string | null {
  for (const item of items) {
    const said = of(item)
    if (said !== null) return said
  }
  return null
}
