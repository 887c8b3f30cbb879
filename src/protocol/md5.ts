// protocol/md5.ts — PostgreSQL's md5 password method: md5(md5(password + user) + salt). Old and weak, spoken because
// servers still ask for it.
import { createHash } from 'node:crypto'

/** As stored in pg_authid: `md5` and 32 hexadecimal digits. */
export function md5Stored(user: string, password: string): string {
  return `md5${hex(Buffer.from(password + user, 'utf8'))}`
}

/** What the client sends for a 4-byte salt. */
export function md5Response(user: string, password: string, salt: Uint8Array): string {
  return md5ResponseOf(md5Stored(user, password), salt)
}

/** The same from the stored form, so that a server side need not know the password. */
export function md5ResponseOf(stored: string, salt: Uint8Array): string {
  return `md5${hex(Buffer.concat([Buffer.from(stored.slice(3), 'latin1'), salt]))}`
}

function hex(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex')
}
