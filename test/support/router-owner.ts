// test/support/router-owner.ts — a program with a router that it never ends. Arguments: what it does, and its configuration as JSON.
import pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { createRouter } from '../../src/index.js'

const [does = 'nothing', config = ''] = process.argv.slice(2)
const pool = createRouter({ pg, config: JSON.parse(config) as ConfigInput })

switch (does) {
  case 'nothing':
    break
  case 'queries': {
    const { rows } = await pool.query('SELECT 1 AS n')
    await pool.query('CREATE TEMP TABLE scrubbed ()')
    process.send?.(rows)
    break
  }
  case 'waits':
    process.send?.(await pool.query('CREATE TABLE waited ()').catch((error: unknown) => (error as { code: string }).code))
    break
  case 'listens': {
    const client = await pool.connect()
    client.on('notification', ({ payload }) => {
      process.send?.(payload)
      client.release()
    })
    await client.query('LISTEN news')
    process.send?.('listening')
    break
  }
}
// What it was told through is no reason to stay.
process.channel?.unref()
