// config/build-doors.ts — listen, admin, limits, log: where clients come in, and what bounds them. Who they are: build-auth.ts.
import { parseDuration } from '../consistency/duration.js'
import { checkCertificates } from './certificates.js'
import type { AdminConfig, LimitsConfig, ListenConfig, LogConfig } from './config.js'
import { pemFrom, secretFrom, type Context } from './context.js'
import type { AdminInput, LimitsInput, ListenInput, LogInput, Partly } from './input.js'
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
  checkCertificates(context, ['listen', 'tls'], { cert, key, ca })
  return {
    host: input.host ?? '127.0.0.1',
    port: input.port ?? 6432,
    unix: input.unix ?? null,
    tls:
      tls === undefined
        ? null
        : { cert: cert ?? '', key: key ?? '', ca, mode: tls.mode ?? 'prefer', minVersion: tls.min_version ?? 'TLSv1.2' },
    maxClients: input.max_clients ?? 10_000,
    clientLifetimeMs: clientLifetime(context, input.client_lifetime),
    workers: input.workers ?? 1,
    graceMs: ms(input.grace, 10_000),
    drainMs: ms(input.drain, 60_000),
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

export function buildLimits(context: Context, input: Partly<LimitsInput> = {}): LimitsConfig {
  const size = (
    key: 'max_message_bytes' | 'max_parse_bytes' | 'shape_cache_bytes' | 'listener_queue' | 'merge_memory',
    least: number,
    otherwise: number,
  ): number => {
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
    listenerQueueBytes: size('listener_queue', 65_536, 8 * 2 ** 20),
    mergeMemoryBytes: size('merge_memory', 65_536, 64 * 2 ** 20),
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
