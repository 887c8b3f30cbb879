// doors/cli/check-auth.ts — `check --live` of auth_query: that its login works, that its statement may be run there, and that
// it gives what a login needs. Asked for a user that nobody has, so that no secret is read.
import type { Config } from '../../config/config.js'
import { executeAuthQuery, prepareAuthQuery } from '../proxy/auth-query.js'
import { withServer } from './ask-server.js'
import type { Told } from './told.js'

const nobody = 'pointsman check'

export async function checkAuthQuery(config: Config, problems: Told[]): Promise<void> {
  const { authQuery } = config.auth
  const cluster = config.clusters.get(authQuery?.cluster ?? '')
  if (authQuery === null || cluster === undefined) return
  const login = { user: authQuery.user, password: authQuery.password, dbname: authQuery.dbname ?? cluster.dbname ?? 'postgres' }
  await Promise.all(
    cluster.nodes.map(async (node) => {
      const tell = (message: string): void =>
        void problems.push({
          path: ['auth', 'auth_query'],
          found: node.id,
          allowed: 'a login that may run a statement with one parameter which gives name and secret of a user',
          message: `users cannot be looked up on ${node.id}: ${message}`,
        })
      try {
        const { columns, rows } = await withServer(cluster, node, login, async (connection) => {
          await connection.query(prepareAuthQuery(authQuery.sql))
          return connection.query(executeAuthQuery(nobody))
        })
        if (columns.length < 2) tell(`the statement gives ${String(columns.length)} column, not the name and the secret`)
        if (rows.length > 0) tell('the statement gives a row for a user that there is not')
      } catch (error) {
        tell(error instanceof Error ? error.message : String(error))
      }
    }),
  )
}
