// config/build-doors.ts — listen, admin, auth, limits, log: where clients come in, who they are, what bounds them.
import { parseDuration } from '../consistency/duration.js'
import type { AdminConfig, AuthConfig, AuthMethod, LimitsConfig, ListenConfig, LogConfig, UserConfig } from './config.js'
import { pemFrom, secretFrom, type Context } from './context.js'
import type { AdminInput, AuthInput, LimitsInput, ListenInput, LogInput, Partly, UserInput } from './input.js'
import { isLoopback, parseSize } from './quantities.js'

/** Milliseconds of what the schema has let through. */
export function ms(value: string | 0 | undefined, otherwise: number): number {
  return value === undefined ? otherwise : (parseDuration(String(value)) ?? otherwise)
}

export function buildListen(context: Context, input: Partly<ListenInput> = {}): ListenConfig {
  const { tls } = input
  const cert = pemFrom(context, ['listen', 'tls', 'cert'], tls?.cert)
  const key = pemFrom(context, ['listen', 'tls', 'key'], tls?.key)
  const ca = pemFrom(context, ['listen', 'tls', 'ca'], tls?.ca)
  return {
    host: input.host ?? '127.0.0.1',
    port: input.port ?? 6432,
    unix: input.unix ?? null,
    tls: tls === undefined ? null : { cert: cert ?? '', key: key ?? '', ca, mode: tls.mode ?? 'prefer' },
    maxClients: input.max_clients ?? 10_000,
    clientLifetimeMs: clientLifetime(context, input.client_lifetime),
  }
}

function clientLifetime(context: Context, input: string | 0 | undefined): number | null {
  const value = ms(input, 0)
  if (value === 0) return null
  if (value < 1000) {
    context.findings.problem({
      path: ['listen', 'client_lifetime'],
      allowed: 'at least 1s, or 0 for no limit',
      message: 'clients would connect anew all the time',
    })
  }
  return value
}

export function buildAdmin(context: Context, input: Partly<AdminInput> | undefined): AdminConfig | null {
  if (input === undefined) return null
  const host = input.host ?? '127.0.0.1'
  const token = secretFrom(context, ['admin', 'token'], input.token)
  if (!isLoopback(host) && input.token === undefined) {
    context.findings.missing({
      path: ['admin', 'token'],
      allowed: 'token: "${ADMIN_TOKEN}", or a loopback host',
      message: 'off loopback the admin port needs a token',
    })
  }
  return { host, port: input.port ?? 6480, token }
}

export function buildAuth(context: Context, input: Partly<AuthInput> | undefined, listenHost: string): AuthConfig {
  const method = input?.method ?? 'scram-sha-256'
  if (method === 'trust' && !isLoopback(listenHost)) {
    context.findings.problem({
      path: ['auth', 'method'],
      allowed: 'scram-sha-256, md5, or listen.host on loopback',
      message: 'trust is allowed on loopback only',
    })
  }
  const users = new Map<string, UserConfig>()
  input?.users?.forEach((user, index) => {
    if (user !== undefined) addUser(context, index, user, method, users)
  })
  return { method, users, admins: names(input?.admins), viewers: names(input?.viewers) }
}

function addUser(context: Context, index: number, input: Partly<UserInput>, method: AuthMethod, users: Map<string, UserConfig>): void {
  const path = ['auth', 'users', index]
  const password = secretFrom(context, [...path, 'password'], input.password)
  const verifier = secretFrom(context, [...path, 'verifier'], input.verifier)
  checkCredentials(context, path, input, method, verifier)
  if (input.name === undefined) return
  if (users.has(input.name)) {
    context.findings.problem({
      path: [...path, 'name'],
      allowed: 'each user once',
      message: `user ${JSON.stringify(input.name)} is listed twice`,
    })
  }
  users.set(input.name, { name: input.name, password, verifier })
}

function checkCredentials(
  context: Context,
  path: readonly (string | number)[],
  input: Partly<UserInput>,
  method: AuthMethod,
  verifier: string | null,
): void {
  const { findings } = context
  const allowed = 'either password or verifier'
  if (input.password !== undefined && input.verifier !== undefined) {
    findings.problem({ path: [...path, 'verifier'], at: 'key', allowed, message: 'a user has a password or a verifier, not both' })
  } else if (method !== 'trust' && input.password === undefined && !findings.given([...path, 'verifier'])) {
    findings.missing({ path: [...path, 'password'], found: 'neither', allowed, message: 'the user has no password and no verifier' })
  } else if (method === 'md5' && input.verifier !== undefined) {
    findings.problem({
      path: [...path, 'verifier'],
      allowed: 'password, or method: scram-sha-256',
      message: 'a SCRAM verifier cannot be used with md5',
    })
  }
  if (verifier !== null && !/^SCRAM-SHA-256\$[1-9][0-9]{0,8}:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}$/.test(verifier)) {
    findings.problem({
      path: [...path, 'verifier'],
      allowed: 'SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, as in pg_authid.rolpassword',
      message: 'this is not a SCRAM verifier',
    })
  }
}

function names(list: readonly (string | undefined)[] | undefined): readonly string[] {
  return [...new Set((list ?? []).filter((name) => name !== undefined))]
}

export function buildLimits(context: Context, input: Partly<LimitsInput> = {}): LimitsConfig {
  const size = (key: 'max_message_bytes' | 'max_parse_bytes' | 'shape_cache_bytes', least: number, otherwise: number): number => {
    const value = input[key]
    if (value === undefined) return otherwise
    const bytes = parseSize(value) ?? otherwise
    if (bytes < least || bytes > 2 ** 31 - 1) {
      context.findings.problem({
        path: ['limits', key],
        allowed: `from ${String(least)} bytes to 2GB`,
        message: `"${key}" is out of range`,
      })
    }
    return bytes
  }
  return {
    maxMessageBytes: size('max_message_bytes', 65_536, 2 ** 30),
    maxParseBytes: size('max_parse_bytes', 1024, 2 ** 20),
    shapeCacheBytes: size('shape_cache_bytes', 65_536, 32 * 2 ** 20),
    loginMs: atLeastOne(context, input.login),
  }
}

function atLeastOne(context: Context, login: string | 0 | undefined): number {
  const value = ms(login, 15_000)
  if (value < 100)
    context.findings.problem({ path: ['limits', 'login'], allowed: 'at least 100ms', message: 'nobody could log in within this' })
  return value
}

export function buildLog(input: Partly<LogInput> = {}): LogConfig {
  return { level: input.level ?? 'info', parameters: input.parameters ?? false }
}
