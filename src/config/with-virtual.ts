// config/with-virtual.ts — a config but for how one virtual home is tried: what an operator switches until the next reload.
import type { Config, Virtual } from './config.js'

/** `found`: how many virtual homes have that name, of all databases. */
export function withVirtual(config: Config, name: string, to: Virtual): { readonly changed: Config; readonly found: number } {
  let found = 0
  const databases = [...config.databases].map(([key, database]) => {
    const virtual = [...database.virtual].map(([label, one]) => {
      const named = label === name || label.slice(label.indexOf(' ') + 1) === name
      if (named) found++
      return [label, named ? to : one] as const
    })
    return [key, { ...database, virtual: new Map(virtual) }] as const
  })
  return { changed: { ...config, databases: new Map(databases) }, found }
}
