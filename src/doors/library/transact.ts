// doors/library/transact.ts — a transaction as a function: made again from its beginning where it is certain that nothing of it
// was done, and only there. What `work` does besides its statements is done again too.
import { setTimeout as sleep } from 'node:timers/promises'
import { PointsmanError } from '../../errors/error.js'
import { sqlstateOf } from '../../pool/failure.js'
import type { Core } from './core.js'
import type { Isolation, RouteOptions, TransactionOptions } from './request-types.js'

export interface TransactionClient {
  query(text: string): unknown
  /** 'I': no transaction; null: nothing was sent yet. */
  getTransactionStatus(): string | null
  release(error?: unknown): void
}

const isolations: Readonly<Record<Isolation, string>> = {
  'read committed': 'READ COMMITTED',
  'repeatable read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
}
const defaultRetries = 3
const backoffMs = { first: 10, last: 1_000 }

export async function transact<Client extends TransactionClient, T>(
  core: Core,
  checkOut: (options: RouteOptions) => Promise<Client>,
  options: TransactionOptions,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const begin = beginText(options)
  const { retries = defaultRetries } = options
  for (let attempt = 0; ; attempt++) {
    const tried: Tried = { endedByWork: false }
    try {
      return await once(await checkOut(routeOf(options)), begin, work, tried)
    } catch (error) {
      if (attempt >= retries || tried.endedByWork || !repeatable(error)) throw error
      const most = Math.min(backoffMs.last, backoffMs.first * 2 ** attempt)
      // Two that were in each other's way should not meet again.
      await core.alive.during(() => sleep(most * (0.5 + Math.random() / 2)))
    }
  }
}

interface Tried {
  /** `work` has sent COMMIT or ROLLBACK itself: what it did before may stand. */
  endedByWork: boolean
}

async function once<Client extends TransactionClient, T>(
  client: Client,
  begin: string,
  work: (client: Client) => Promise<T>,
  tried: Tried,
): Promise<T> {
  let broken: unknown = null
  let working = false
  try {
    await client.query(begin)
    working = true
    const result = await work(client)
    working = false
    await commit(client)
    return result
  } catch (error) {
    const open = client.getTransactionStatus() !== 'I'
    tried.endedByWork = working && !open
    if (open) await Promise.resolve(client.query('ROLLBACK')).catch((failure: unknown) => (broken = failure))
    throw error
  } finally {
    client.release(broken ?? undefined)
  }
}

/** The server answers COMMIT with ROLLBACK where `work` has passed over an error. */
async function commit(client: TransactionClient): Promise<void> {
  const result = (await client.query('COMMIT')) as { readonly command?: string | null } | undefined
  if (result?.command === 'ROLLBACK')
    throw new PointsmanError('in_failed_transaction', { hint: 'An error was caught in it, and it was rolled back.' })
}

function beginText({ readOnly = false, isolation }: TransactionOptions): string {
  if (isolation !== undefined && !Object.hasOwn(isolations, isolation)) {
    throw new TypeError(`option isolation must be one of: ${Object.keys(isolations).join(', ')}`)
  }
  return ['BEGIN', isolation === undefined ? '' : ` ISOLATION LEVEL ${isolations[isolation]}`, readOnly ? ' READ ONLY' : ''].join('')
}

function routeOf({ consistency, maxStaleness, shardKey }: TransactionOptions): RouteOptions {
  return {
    ...(consistency === undefined ? {} : { consistency }),
    ...(maxStaleness === undefined ? {} : { maxStaleness }),
    ...(shardKey === undefined ? {} : { shardKey }),
  }
}

/** Nothing of it was done, and the next time it may be. */
function repeatable(error: unknown): boolean {
  if (error instanceof PointsmanError) return error.retry === 'safe' && error.key !== 'shutting_down'
  const code = sqlstateOf(error)
  return code === '40001' || code === '40P01'
}
