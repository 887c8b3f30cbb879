// doors/library/cancel-on.ts — ends what a leased connection runs, and leaves the connection fit for its next user.
import type { Config } from '../../config/config.js'
import { sendCancel } from '../../server/cancel.js'
import type { Hold } from './hold.js'

/**
 * Asks the server to cancel it; then one empty round trip takes what a late cancel may still hit. Resolves when that is over;
 * where the server cannot be asked the connection is closed.
 */
export async function cancelOn({ connection, cluster: id, route }: Hold, { clusters }: Pick<Config, 'clusters'>): Promise<void> {
  const { client } = connection
  const cluster = clusters.get(id)
  const node = cluster?.nodes.find((each) => each.id === route.node)
  const secret = secretOf(client.secretKey)
  if (cluster === undefined || node === undefined || client.processID === null || secret === null) {
    connection.close()
    return
  }
  const secure = (client.connection.stream as { readonly encrypted?: boolean }).encrypted === true
  try {
    await sendCancel({ cluster: id, node, tls: cluster.tls }, { pid: client.processID, secret }, secure)
  } catch {
    connection.close()
    return
  }
  if ((await connection.settled()) === null) return
  connection.begin()
  await client.query('').catch(() => undefined)
}

function secretOf(key: number | Buffer | null): Uint8Array | null {
  if (typeof key !== 'number') return key
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(key)
  return bytes
}
