// config/build-auth.ts — auth: who may come in, from where, and what proves it. Without `rules` there is one rule for
// everybody; every rule that comes out says its method, so nobody has to look further up.
import { parseRange, isLoopbackRange } from './address-range.js'
import { ms } from './build-doors.js'
import type { AuthConfig, AuthMethod, AuthQueryConfig, AuthRule, ListenConfig, UserConfig, UserLimits } from './config.js'
import { secretFrom, type Context } from './context.js'
import type { AuthInput, AuthQueryInput, AuthRuleInput, Partly, UserInput, UserLimitsInput } from './input.js'
import type { Path } from './locator.js'
import { isLoopback } from './quantities.js'

/**
 * The secret of a role, as every PostgreSQL has it: for who may read pg_authid. Where nobody but a superuser may, a
 * SECURITY DEFINER function that does the same is called instead (docs/auth.md).
 */
export const defaultAuthQuery: string =
  'SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END' +
  ' FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin'

const scramVerifier = /^SCRAM-SHA-256\$[1-9][0-9]{0,8}:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}$/
const md5Verifier = /^md5[0-9a-f]{32}$/

const maxDelayMs = 10_000

/** `clusterNames`: every cluster that is named, also those whose form is bad. */
export function buildAuth(
  context: Context,
  input: Partly<AuthInput> | undefined,
  listen: ListenConfig,
  clusterNames: ReadonlySet<string>,
): AuthConfig {
  const method = input?.method ?? 'scram-sha-256'
  if (method === 'trust' && !isLoopback(listen.host)) {
    context.findings.problem({
      path: ['auth', 'method'],
      allowed: 'scram-sha-256, md5, cert, or listen.host on loopback',
      message: 'trust is allowed on loopback only',
    })
  }
  const rules = buildRules(context, input, method, listen)
  const authQuery = buildAuthQuery(context, input?.auth_query, clusterNames)
  const users = new Map<string, UserConfig>()
  const defaultLimits = limitsFrom(input?.default_user, noLimits)
  const needs = {
    secret: authQuery === null && rules.some(({ method }) => needsSecret(method)),
    md5: rules.some(({ method }) => method === 'md5'),
  }
  input?.users?.forEach((user, index) => {
    if (user !== undefined) addUser(context, index, user, needs, defaultLimits, users)
  })
  return {
    method,
    users,
    defaultLimits,
    authQuery,
    rules,
    map: buildMap(input),
    failureDelayMs: failureDelay(context, input?.failure_delay),
    admins: names(input?.admins),
    viewers: names(input?.viewers),
    replication: names(input?.replication),
  }
}

function needsSecret(method: AuthRule['method']): boolean {
  return method === 'scram-sha-256' || method === 'md5'
}

// ---- rules

function buildRules(context: Context, input: Partly<AuthInput> | undefined, method: AuthMethod, listen: ListenConfig): readonly AuthRule[] {
  if (input?.rules === undefined) {
    const rule: AuthRule = { address: null, users: null, databases: null, tls: null, method, clientCert: null }
    checkCertificateRule(context, ['auth', 'method'], rule, listen)
    // For everybody too: whom auth.replication does not name is told so, once he has proved who he is.
    return [{ ...rule, databases: ['replication'] }, rule]
  }
  return input.rules.flatMap((rule, index) =>
    rule === undefined ? [] : [buildRule(context, ['auth', 'rules', index], rule, method, listen)],
  )
}

function buildRule(context: Context, path: Path, input: Partly<AuthRuleInput>, otherwise: AuthMethod, listen: ListenConfig): AuthRule {
  const rule: AuthRule = {
    address: buildAddress(context, [...path, 'address'], input.address),
    users: listed(input.users),
    databases: listed(input.databases),
    tls: input.tls ?? null,
    method: input.method ?? otherwise,
    clientCert: input.clientcert ?? null,
  }
  if (rule.method === 'trust' && !isLoopback(listen.host) && !isHere(rule.address)) {
    context.findings.problem({
      path: [...path, input.method === undefined ? 'address' : 'method'],
      allowed: 'another method, or a rule for address: local, 127.0.0.0/8 or ::1',
      message: 'trust is allowed on loopback only',
    })
  }
  checkCertificateRule(context, [...path, input.method === 'cert' ? 'method' : 'clientcert'], rule, listen)
  return rule
}

/** Only this machine can be meant. */
function isHere(address: AuthRule['address']): boolean {
  return address === 'local' || (address !== null && isLoopbackRange(address))
}

function buildAddress(context: Context, path: Path, input: string | undefined): AuthRule['address'] {
  if (input === undefined) return null
  if (input === 'local') return input
  const range = parseRange(input)
  if (range !== null) return range
  const allowed = 'local, an address, or a range such as 10.0.0.0/8 or 2001:db8::/32 without bits set behind its prefix'
  context.findings.problem({ path, allowed, message: 'this is no address and no range' })
  // Nothing may be let in by a rule whose address is not known.
  return 'local'
}

/** null: all of them. */
function listed(input: readonly (string | undefined)[] | undefined): readonly string[] | null {
  if (input === undefined || input.includes('all')) return null
  return names(input)
}

function checkCertificateRule(context: Context, path: Path, rule: AuthRule, listen: ListenConfig): void {
  if (rule.method !== 'cert' && rule.clientCert === null) return
  if (listen.tls !== null && listen.tls.ca !== null && rule.tls !== false && rule.address !== 'local') return
  const why = rule.tls === false || rule.address === 'local' ? 'the rule is for clients without TLS' : 'listen.tls.ca is missing'
  context.findings.problem({
    path,
    allowed: 'listen.tls with a ca, and a rule for TLS',
    message: `client certificates cannot be checked: ${why}`,
  })
}

function buildMap(input: Partly<AuthInput> | undefined): ReadonlyMap<string, readonly string[]> {
  const entries = Object.entries(input?.map ?? {})
  return new Map(
    entries.flatMap(([name, users]) => (users === undefined ? [] : [[name, typeof users === 'string' ? [users] : names(users)] as const])),
  )
}

// ---- where secrets come from

function buildAuthQuery(
  context: Context,
  input: Partly<AuthQueryInput> | undefined,
  clusterNames: ReadonlySet<string>,
): AuthQueryConfig | null {
  if (input === undefined) return null
  const path = ['auth', 'auth_query']
  if (input.cluster !== undefined && !clusterNames.has(input.cluster)) {
    context.findings.problem({
      path: [...path, 'cluster'],
      allowed: [...clusterNames].join(', '),
      message: `there is no cluster ${JSON.stringify(input.cluster)}`,
    })
  }
  return {
    cluster: input.cluster ?? '',
    sql: input.sql ?? defaultAuthQuery,
    user: input.user ?? '',
    password: secretFrom(context, [...path, 'password'], input.password),
    dbname: input.dbname ?? null,
    cacheMs: ms(input.cache, 30_000),
  }
}

function addUser(
  context: Context,
  index: number,
  input: Partly<UserInput>,
  needs: { readonly secret: boolean; readonly md5: boolean },
  defaultLimits: UserLimits,
  users: Map<string, UserConfig>,
): void {
  const path = ['auth', 'users', index]
  const password = secretFrom(context, [...path, 'password'], input.password)
  const verifier = secretFrom(context, [...path, 'verifier'], input.verifier)
  checkCredentials(context, path, input, needs, verifier)
  if (input.name === undefined) return
  if (users.has(input.name)) {
    context.findings.problem({
      path: [...path, 'name'],
      allowed: 'each user once',
      message: `user ${JSON.stringify(input.name)} is listed twice`,
    })
  }
  const limits = limitsFrom(input, defaultLimits)
  users.set(input.name, { name: input.name, password, verifier, poolMode: input.pool_mode ?? null, limits })
}

const noLimits: UserLimits = { maxClients: null, maxConnections: null, weight: 1 }

function limitsFrom(input: Partly<UserLimitsInput> | undefined, otherwise: UserLimits): UserLimits {
  return {
    maxClients: input?.max_clients ?? otherwise.maxClients,
    maxConnections: input?.max_connections ?? otherwise.maxConnections,
    weight: input?.weight ?? otherwise.weight,
  }
}

function checkCredentials(
  context: Context,
  path: Path,
  input: Partly<UserInput>,
  needs: { readonly secret: boolean; readonly md5: boolean },
  verifier: string | null,
): void {
  const { findings } = context
  const allowed = 'either password or verifier'
  if (input.password !== undefined && input.verifier !== undefined) {
    findings.problem({ path: [...path, 'verifier'], at: 'key', allowed, message: 'a user has a password or a verifier, not both' })
  } else if (needs.secret && input.password === undefined && !findings.given([...path, 'verifier'])) {
    findings.missing({ path: [...path, 'password'], found: 'neither', allowed, message: 'the user has no password and no verifier' })
  }
  if (verifier === null || scramVerifier.test(verifier)) return
  if (!md5Verifier.test(verifier)) {
    findings.problem({
      path: [...path, 'verifier'],
      allowed: 'SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> or md5<32 hex digits>, as in pg_authid.rolpassword',
      message: 'this is neither a SCRAM verifier nor an md5 hash',
    })
  } else if (!needs.md5) {
    findings.problem({
      path: [...path, 'verifier'],
      allowed: 'a SCRAM verifier, or method: md5',
      message: 'an md5 hash can only be used with md5',
    })
  }
}

function failureDelay(context: Context, input: string | 0 | undefined): number {
  const value = ms(input, 500)
  if (value <= maxDelayMs) return value
  context.findings.problem({
    path: ['auth', 'failure_delay'],
    allowed: 'from 0 to 10s',
    message: 'who mistypes a password would wait too long',
  })
  return maxDelayMs
}

function names(list: readonly (string | undefined)[] | undefined): readonly string[] {
  return [...new Set((list ?? []).filter((name) => name !== undefined))]
}
