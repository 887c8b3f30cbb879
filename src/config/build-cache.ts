// config/build-cache.ts — `cache`: how much memory kept results may take.
import type { CacheConfig } from './config.js'
import type { Context } from './context.js'
import type { CacheInput, Partly } from './input.js'
import { parseSize } from './quantities.js'

export function buildCache(context: Context, input: Partly<CacheInput> = {}): CacheConfig {
  const maxBytes = parseSize(input.max_bytes ?? '64MB') ?? 0
  // A smaller cache takes smaller results, unless somebody says what is to be kept.
  const maxResultBytes = input.max_result === undefined ? Math.min(2 ** 20, maxBytes) : (parseSize(input.max_result) ?? 0)
  if (maxResultBytes > maxBytes) {
    context.findings.problem({
      path: ['cache', 'max_result'],
      allowed: `at most max_bytes (${String(maxBytes)} bytes)`,
      message: 'one result could be larger than the whole cache',
    })
  }
  return { maxBytes, maxResultBytes }
}
