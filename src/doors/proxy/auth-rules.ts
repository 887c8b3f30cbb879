// doors/proxy/auth-rules.ts — which rule of auth.rules is for a client: the first that fits where it comes from, who it says
// it is, and what it asks for. As in pg_hba.conf nothing is tried after the first: what fails there has failed.
import { inRange } from '../../config/address-range.js'
import type { AuthConfig, AuthRule } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import type { ClientCertificate } from './client-tls.js'

/** A client that has named itself and proved nothing. */
export interface Caller {
  /** Its bytes (config/address-range.ts); null: on the Unix socket, or it has left already. */
  readonly address: readonly number[] | null
  /** The address as text; `[local]` on the Unix socket. */
  readonly host: string
  readonly local: boolean
  readonly encrypted: boolean
  readonly certificate: ClientCertificate | null
  readonly user: string
  readonly database: string
  /** It asks for physical replication, which is of no database. */
  readonly replication: boolean
}

/** Throws 28000 where no rule is for this client, where one rejects it, or where it lacks the certificate that the rule asks for. */
export function ruleFor(auth: AuthConfig, caller: Caller): AuthRule {
  const rule = auth.rules.find((rule) => fits(rule, caller))
  if (rule === undefined) throw new PointsmanError('no_rule', { values: { who: inWords(caller) } })
  if (rule.method === 'reject') throw new PointsmanError('rule_rejects', { values: { who: inWords(caller) } })
  requireCertificate(auth, rule, caller)
  return rule
}

function fits({ address, users, databases, tls }: AuthRule, caller: Caller): boolean {
  if (address === 'local' ? !caller.local : address !== null && (caller.address === null || !inRange(address, caller.address))) return false
  if (tls !== null && tls !== caller.encrypted) return false
  if (users !== null && !users.includes(caller.user)) return false
  if (caller.replication) return databases?.includes('replication') ?? false
  return databases === null || databases.includes(caller.database)
}

function requireCertificate(auth: AuthConfig, { method, clientCert }: AuthRule, { certificate, user }: Caller): void {
  // One that is shown must be right, whether it is asked for or not.
  if (certificate !== null && certificate.problem !== null) {
    throw new PointsmanError('certificate_required', { detail: `The certificate is not valid: ${certificate.problem}.` })
  }
  if (method !== 'cert' && clientCert === null) return
  if (certificate === null) throw new PointsmanError('certificate_required')
  if (method !== 'cert' && clientCert !== 'verify-full') return
  const { commonName } = certificate
  const may = commonName !== null && (auth.map.get(commonName) ?? [commonName]).includes(user)
  if (!may) throw new PointsmanError('certificate_failed', { values: { user } })
}

/** As PostgreSQL words it. */
function inWords({ host, user, database, encrypted, replication }: Caller): string {
  const what = replication
    ? `replication connection from host "${host}", user "${user}"`
    : `host "${host}", user "${user}", database "${database}"`
  return `${what}, ${encrypted ? 'SSL encryption' : 'no encryption'}`
}
