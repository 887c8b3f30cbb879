// A prepared statement that is of no use any more is known by codes, whatever language its server speaks.
import t from 'tap'
import { isStaleStatement } from '../../src/execute/stale-statement.js'

t.test('by SQLSTATE and the routine that raised it', async (t) => {
  t.ok(isStaleStatement('26000', undefined))
  t.ok(isStaleStatement('0A000', 'RevalidateCachedQuery'))
  t.notOk(isStaleStatement('0A000', undefined))
  t.notOk(isStaleStatement('0A000', 'transformSelectStmt'))
  t.notOk(isStaleStatement('42601', 'RevalidateCachedQuery'))
})
