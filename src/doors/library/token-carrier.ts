// doors/library/token-carrier.ts — how a token travels between two HTTP requests: cookies and a header (CONSISTENCY §2.7).
//
// Two answers to one browser may pass each other on the way, and the later one would put an older token in the place of a
// newer one. So every answer that sets a cookie sets one of a new name, and takes away those that came with its request,
// whose contents it has taken over: what another answer has set meanwhile stays, and the next request brings both.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { MiddlewareOptions } from './request-types.js'
import { timeOption } from './time-option.js'

export interface Carrier {
  readonly cookie: string | null
  readonly header: string | null
  readonly monotonic: boolean
  readonly maxAgeSeconds: number
  readonly path: string
  /** null: as the request came. */
  readonly secure: boolean | null
  readonly sameSite: 'Strict' | 'Lax' | 'None'
  readonly httpOnly: boolean
}

const sameSites = { strict: 'Strict', lax: 'Lax', none: 'None' } as const
/** What may stand in a cookie's name and a header's. */
const token = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
/** Of one request; more than browsers that behave ever have. */
const maxCookies = 32
/** No token: what comes of it is that everything written until now is asked. */
const unreadable = 'more than can be read'

/** Throws TypeError for options that are none. */
export function readCarrier(options: MiddlewareOptions = {}): Carrier {
  const { cookie = '__rw', header = 'x-db-token', ttl = '15m', path = '/', sameSite = 'lax', secure = null } = options
  for (const name of [cookie, header])
    if (name !== null && !token.test(name)) throw new TypeError('options cookie and header must be names, or null')
  if (!/^\/[^;\s]*$/.test(path)) throw new TypeError('option path must be a path')
  if (!Object.hasOwn(sameSites, sameSite)) throw new TypeError('option sameSite must be strict, lax or none')
  return {
    cookie,
    header: header === null ? null : header.toLowerCase(),
    monotonic: options.monotonic ?? false,
    maxAgeSeconds: Math.max(1, Math.ceil(timeOption('ttl', ttl) / 1000)),
    path,
    secure,
    sameSite: sameSites[sameSite],
    httpOnly: options.httpOnly ?? true,
  }
}

export interface Received {
  readonly tokens: readonly string[]
  /** Names of the cookies that they came in. */
  readonly cookies: readonly string[]
}

export function receive({ cookie, header }: Carrier, { headers }: IncomingMessage): Received {
  const cookies = cookie === null ? [] : cookiesOf(headers.cookie ?? '', cookie)
  const sent = header === null ? [] : String(headers[header] ?? '').split(',')
  const tokens = [...cookies.slice(0, maxCookies).map(({ value }) => value), ...sent.slice(0, maxCookies)]
  if (cookies.length > maxCookies || sent.length > maxCookies) tokens.push(unreadable)
  // The rest is taken away by answers to come: a flood of names must not come back as a flood of headers.
  const names = new Set(cookies.slice(0, maxCookies).map(({ name }) => name))
  return { tokens: tokens.map((text) => text.trim()).filter((text) => text !== ''), cookies: [...names] }
}

function cookiesOf(text: string, wanted: string): readonly { readonly name: string; readonly value: string }[] {
  return text.split(';').flatMap((pair) => {
    const at = pair.indexOf('=')
    const name = pair.slice(0, Math.max(0, at)).trim()
    if (name !== wanted && !name.startsWith(`${wanted}.`)) return []
    return [
      {
        name,
        value: pair
          .slice(at + 1)
          .trim()
          .replace(/^"(.*)"$/, '$1'),
      },
    ]
  })
}

/** False: a shared cache may keep this response, so it must not carry anybody's token. */
export function give(
  carrier: Carrier,
  text: string,
  { cookies }: Received,
  to: { readonly response: ServerResponse; readonly method: string; readonly secure: boolean },
): boolean {
  const { response, method } = to
  if (!madePrivate(response, method)) return false
  const { cookie, header } = carrier
  if (header !== null) response.setHeader(header, text)
  if (cookie === null) return true
  const secure = carrier.secure ?? to.secure
  const name = `${cookie}.${randomBytes(4).toString('hex')}`
  const set = [written(carrier, name, text, carrier.maxAgeSeconds, secure), ...cookies.map((old) => written(carrier, old, '', 0, secure))]
  const before = response.getHeader('set-cookie') ?? []
  response.setHeader('set-cookie', [...(Array.isArray(before) ? before : [String(before)]), ...set])
  return true
}

function written({ path, sameSite, httpOnly }: Carrier, name: string, value: string, maxAge: number, secure: boolean): string {
  const flags = `${httpOnly ? '; HttpOnly' : ''}${secure ? '; Secure' : ''}`
  return `${name}=${value}; Max-Age=${String(maxAge)}; Path=${path}; SameSite=${sameSite}${flags}`
}

/** Of headers that speak to shared caches only. */
const shared = ['cdn-cache-control', 'surrogate-control']

/** What says nothing of shared caches is told to keep out of them; what is meant for them is left as it is: false. */
function madePrivate(response: ServerResponse, method: string): boolean {
  const said = response.getHeader('cache-control')
  const text = said === undefined ? '' : Array.isArray(said) ? said.join(', ') : String(said)
  const directives = text.split(',').map((part) => part.trim().toLowerCase())
  const says = (name: string): boolean => directives.some((directive) => directive === name || directive.startsWith(`${name}=`))
  if (says('no-store')) return true
  if (says('public') || says('s-maxage') || shared.some((name) => response.hasHeader(name))) return false
  // With field names it speaks of these fields alone.
  if (directives.includes('private')) return true
  const mayBeKept = method === 'GET' || method === 'HEAD' || says('max-age') || response.hasHeader('expires')
  if (mayBeKept) response.setHeader('cache-control', text === '' ? 'private' : `${text}, private`)
  return true
}
