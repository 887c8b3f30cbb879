// config/build-tokens.ts — `tokens`: how consistency tokens are told from what others made up.
import type { TokensConfig } from './config.js'
import { secretFrom, type Context } from './context.js'
import type { Partly, TokensInput } from './input.js'

const leastKey = 16

export function buildTokens(context: Context, input: Partly<TokensInput> = {}): TokensConfig {
  const path = ['tokens', 'key']
  const key = secretFrom(context, path, input.key)
  if (key !== null && key.length < leastKey) {
    const allowed = `at least ${String(leastKey)} characters, drawn at random`
    context.findings.problem({ path, allowed, message: 'this key is too short to sign with' })
  }
  return { key }
}
