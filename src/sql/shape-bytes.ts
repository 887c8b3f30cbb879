// sql/shape-bytes.ts — what a shape weighs in memory, roughly and rather too much: long IN lists and VALUES are most of it.
import type { Shape, Statement } from './statement.js'

const shapeBase = 600
const statementBase = 1200
const perName = 180
const perEntry = 250
const perOperand = 110

/** Estimated bytes, for a cache that is bounded in bytes. */
export function shapeBytes(shape: Shape): number {
  let bytes = shapeBase + shape.key.length * 2
  for (const statement of shape.statements ?? []) bytes += statementBytes(statement)
  return bytes
}

function statementBytes(statement: Statement): number {
  const names = statement.relations.length + statement.functions.length + statement.operators.length + statement.types.length
  let bytes = statementBase + perName * (names + statement.sequences.length + statement.attributes.length)
  for (const entry of statement.entries) bytes += perEntry + operandBytes(entry.bindings.map((binding) => binding.values))
  const { detail } = statement
  if (detail.kind === 'insert') bytes += operandBytes(detail.insert.rows ?? [])
  if (detail.kind === 'explain' || detail.kind === 'prepare' || detail.kind === 'declare') bytes += statementBytes(detail.inner)
  return bytes
}

function operandBytes(lists: readonly (readonly unknown[])[]): number {
  let bytes = 0
  for (const list of lists) bytes += perOperand * (list.length + 1)
  return bytes
}
