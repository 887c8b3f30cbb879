// The library over TLS: pg's own client and the monitor, by every mode of the cluster's `tls`.
import t from 'tap'
import { makeAuthority } from '../support/certificates.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const authority = makeAuthority()
const server = authority.issue('localhost', ['127.0.0.1'])
const elsewhere = authority.issue('elsewhere', ['elsewhere.example'])
const files = { 'server.key': server.key, 'server.crt': server.cert }
const settings = { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' }
const running = await withTopology(t, {
  clusters: {
    main: { settings, files },
    other: { settings, files: { 'server.key': elsewhere.key, 'server.crt': elsewhere.cert } },
    plain: {},
  },
})
const ca = `${t.testdir({ 'ca.pem': authority.cert, 'stranger.pem': makeAuthority('somebody else').cert })}/`

async function secure(
  cluster: string,
  tls: { mode: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'; ca?: string },
): Promise<boolean> {
  const config = routerConfig(running, { default: cluster }, (_id, input) => ({ ...input, tls, failover: { wait: '100ms' } }))
  const clusters = Object.fromEntries(Object.entries(config.clusters).filter(([id]) => id === cluster))
  const pool = router(t, { ...config, clusters })
  const { rows } = await pool.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
  return rows[0]?.ssl ?? false
}

t.test('every mode', async (t) => {
  t.equal(await secure('main', { mode: 'disable' }), false)
  t.equal(await secure('main', { mode: 'prefer' }), true)
  t.equal(await secure('plain', { mode: 'prefer' }), false, 'a server without TLS')
  t.equal(await secure('main', { mode: 'require' }), true)
  t.equal(await secure('main', { mode: 'verify-ca', ca: `${ca}ca.pem` }), true)
  t.equal(await secure('main', { mode: 'verify-full', ca: `${ca}ca.pem` }), true)
  t.equal(await secure('other', { mode: 'verify-ca', ca: `${ca}ca.pem` }), true, 'whatever its name')
})

t.test('what cannot be verified is not used', async (t) => {
  await t.rejects(secure('plain', { mode: 'require' }), { code: '57P03' })
  await t.rejects(secure('main', { mode: 'verify-ca', ca: `${ca}stranger.pem` }), { code: '57P03' })
  await t.rejects(secure('other', { mode: 'verify-full', ca: `${ca}ca.pem` }), { code: '57P03' })
})
