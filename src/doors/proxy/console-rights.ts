// doors/proxy/console-rights.ts — who may use the console: auth.admins everything, auth.viewers only what changes nothing.
import type { AuthConfig } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'

/** No configuration may have a database of this name. */
export const consoleDatabase = 'pointsman'

/** `all`: every command · `show`: only to look · null: nothing. */
function consoleRights({ admins, viewers }: Pick<AuthConfig, 'admins' | 'viewers'>, user: string): 'all' | 'show' | null {
  if (admins.includes(user)) return 'all'
  return viewers.includes(user) ? 'show' : null
}

/** `changes`: the command changes something. Throws 42501. */
export function requireConsoleRights(auth: Pick<AuthConfig, 'admins' | 'viewers'>, user: string, changes: boolean): void {
  const rights = consoleRights(auth, user)
  if (rights === 'all' || (rights === 'show' && !changes)) return
  const what = rights === null ? `user "${user}" may not use the console` : `user "${user}" may only SHOW and EXPLAIN ROUTE`
  throw new PointsmanError('insufficient_privilege', {
    values: { what },
    hint: 'auth.admins and auth.viewers of the configuration say who may.',
  })
}
