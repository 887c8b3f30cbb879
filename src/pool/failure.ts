// pool/failure.ts — which failures to open a connection speak of the node, and which only of the login.

/** SQLSTATE classes by which a living server refuses one login: authorization, unknown database, privilege, too many connections. */
const loginOnly = ['28', '3D', '42', '53', '0A', '22'] as const

/** False where a server that works answered: the node is no worse for it. */
export function speaksOfNode(error: unknown): boolean {
  const code = sqlstateOf(error)
  return code === null || !loginOnly.some((start) => code.startsWith(start))
}

/** The five characters of a PostgreSQL error, or null (`ECONNREFUSED`, `EPIPE` and their like are no SQLSTATE). */
export function sqlstateOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null
  const { code } = error
  return typeof code === 'string' && /^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) ? code : null
}
