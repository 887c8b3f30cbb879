// sql/scope.ts — which names are common table expressions, and so no relations, at one place of a statement.

/** The CTE names visible here. Inner WITH clauses shadow outer ones by the same name: both are no relations. */
export interface Scope {
  readonly names: ReadonlySet<string>
  readonly outer: Scope | null
}

export function isCte(name: string, scope: Scope | null): boolean {
  for (let at = scope; at !== null; at = at.outer) if (at.names.has(name)) return true
  return false
}
