// test/support/sql-brief.ts — facts as short strings, so that tables of statements stay readable.
import type { KeyBinding, Name, Operand, Statement, Understood } from '../../src/sql/statement.js'
import { understanding } from './understanding.js'

export const understand: (text: string) => Understood = await understanding()

/** The only statement of a text; throws where there is none or more. */
export function only(text: string): Statement {
  const { shape } = understand(text)
  const [statement, second] = shape.statements ?? []
  if (statement === undefined || second !== undefined) throw new Error(`${text}: ${shape.problem ?? 'not one statement'}`)
  return statement
}

export function named({ schema, name }: Name): string {
  return schema === null ? name : `${schema}.${name}`
}

/** `read a, write s.b`, sorted. */
export function relations(text: string): string {
  return only(text)
    .relations.map(({ name, access }) => `${access} ${named(name)}`)
    .sort()
    .join(', ')
}

/** `now/0, count/*`, sorted. */
export function functions(text: string): string {
  return only(text)
    .functions.map(({ name, args }) => `${named(name)}/${args === null ? '*' : String(args)}`)
    .sort()
    .join(', ')
}

/** What each entry is bound to: `c: k=#0|$1::int8; t:`. */
export function bindings(text: string): string {
  return only(text)
    .entries.map((entry) => `${entry.alias ?? named(entry.relation)}:${entry.bindings.map((binding) => ` ${bound(binding)}`).join('')}`)
    .join('; ')
}

function bound({ column, values }: KeyBinding): string {
  return `${column}=${values.map(operand).join('|')}`
}

/** `#0` a literal, `-#0` negated, `$1`, `$1[]` an array, `#0[]` a literal array, `::cast`. */
export function operand(value: Operand): string {
  switch (value.kind) {
    case 'literal':
      return `${value.negated ? '-' : ''}#${String(value.index)}${cast(value.cast)}`
    case 'param':
      return `$${String(value.number)}${value.array ? '[]' : ''}${cast(value.cast)}`
    case 'arrayLiteral':
      return `#${String(value.index)}[]${cast(value.cast)}`
    default:
      return value.kind
  }
}

function cast(name: string | null): string {
  return name === null ? '' : `::${name}`
}
