// doors/proxy/scatter-batch.ts — which batches of the extended protocol a read on several clusters may be: one statement, bound and run to
// its end, with whatever prepares and describes it.
import { PointsmanError } from '../../errors/error.js'
import { emptyMessages } from '../../protocol/backend-messages.js'
import { decodeBind, decodeExecute } from '../../protocol/extended.js'
import type { Message, Portal } from './messages.js'
import type { Before, ScatterAsk } from './scatter.js'

interface Asking {
  /** What it is called. */
  readonly what: string
  /** Execute may ask for a number of rows. */
  readonly limits: boolean
  /** Its portal may have been bound before these messages. */
  readonly earlier: boolean
}

const read: Asking = { what: 'a read', limits: true, earlier: true }

/** Portals that have run on several clusters: they cannot be run again. */
const ran = new WeakSet<Portal>()

/** Nothing of what these ask for was sent: it may be asked for again. */
export function askAgain(messages: readonly Message[]): void {
  for (const message of messages) if (message.kind === 'execute' && message.portal !== null) ran.delete(message.portal)
}

/** What a batch asks of several clusters. */
export interface BatchAsk {
  readonly ask: Omit<ScatterAsk, 'onBegun'>
  /** What the client hears after its rows. */
  readonly after: readonly Uint8Array[]
  /** Its portal. `bound`: by an earlier batch, or before a Flush. */
  readonly portal: { readonly name: string; readonly bound: boolean }
  /** Of Execute; 0: all rows. */
  readonly maxRows: number
}

/** What the client hears before its rows, and after them. Throws 0A000 where other statements are among the messages. */
export function scatterAsk(messages: readonly Message[], decoder: 'utf8' | 'latin1', { what, limits, earlier }: Asking = read): BatchAsk {
  const at = messages.findIndex(({ kind }) => kind === 'execute')
  const execute = messages[at]
  if (execute?.kind !== 'execute' || execute.statement === null) throw new Error('nothing runs here')
  const { statement, name } = execute
  const others = messages.some((message) => message.kind !== 'close' && message.statement !== statement)
  if (others || messages.some(({ naming }) => naming !== null))
    throw refused(what, 'together with other statements before one Sync', 'Send it by itself.')
  const { maxRows } = decodeExecute(execute.frame, decoder)
  if (!limits && maxRows !== 0) throw refused(what, 'with a limit of rows for each Execute', 'Use LIMIT, or read all rows.')
  const bind = messages.findLast((message, index) => message.kind === 'bind' && index < at)
  const frame = bind?.frame ?? (earlier ? execute.portal?.frame : undefined)
  const bound = frame === undefined ? undefined : decodeBind(frame, decoder)
  if (execute.portal !== null && ran.has(execute.portal)) throw new PointsmanError('undefined_portal', { values: { name } })
  if (execute.portal !== null) ran.add(execute.portal)
  if (bound?.portal !== name) throw refused(what, 'whose Bind was flushed before', 'Send Bind and Execute together.')
  const after = messages.slice(at + 1).map((message) => {
    if (message.kind !== 'close') throw refused(what, 'together with what comes behind it before one Sync', 'Send Sync first.')
    return emptyMessages.closeComplete
  })
  return {
    ask: {
      types: statement.types,
      parameters: statement.ids?.parameters,
      bind: bound,
      before: messages.slice(0, at).map((message) => before(what, message)),
    },
    after,
    portal: { name, bound: bind === undefined },
    maxRows,
  }
}

function before(what: string, message: Message): Before {
  switch (message.kind) {
    case 'parse':
      return emptyMessages.parseComplete
    case 'bind':
      return emptyMessages.bindComplete
    case 'close':
      return emptyMessages.closeComplete
    case 'describe':
      return message.of
    case 'execute':
      throw refused(what, 'twice before one Sync', 'Send it by itself.')
  }
}

/** PostgreSQL's portal shows what was there at its Bind; ours is opened when it is executed. */
export function boundBeforeWrites(): PointsmanError {
  return refused(read.what, 'whose Bind came before the transaction wrote', 'Bind it again, or send Bind and Execute together.')
}

function refused(what: string, how: string, hint: string): PointsmanError {
  return new PointsmanError('feature_not_supported', { values: { what: `${what} on several clusters ${how} is not supported` }, hint })
}
