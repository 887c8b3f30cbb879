// doors/cli/version.ts — the version of this package, from its package.json (two levels above both src/ and dist/).
import { readFileSync } from 'node:fs'

/** `0.1.0`; `unknown` where the package was taken apart. */
export function version(): string {
  for (const up of ['../../../package.json', '../../../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as { readonly name?: string; readonly version?: string }
      if (found.name === 'pointsman' && found.version !== undefined) return found.version
    } catch {
      continue
    }
  }
  return 'unknown'
}
