// protocol/saslprep.ts — passwords as SCRAM hashes them (RFC 4013). As in PostgreSQL, a password that the profile
// forbids (an emoji, say) is used as it stands, so both sides still agree.
import { saslprep } from '@mongodb-js/saslprep'

const ascii = /^[\x20-\x7e]*$/

export function prepare(password: string): string {
  if (ascii.test(password)) return password
  try {
    return saslprep(password)
  } catch {
    return password
  }
}
