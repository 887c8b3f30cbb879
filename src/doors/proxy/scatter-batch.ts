// doors/proxy/scatter-batch.ts — which batches of the extended protocol a read on several clusters may be: one statement, bound and run to
// its end, with whatever prepares and describes it.
import { PointsmanError } from '../../errors/error.js'
import { emptyMessages } from '../../protocol/backend-messages.js'
import { decodeBind, decodeExecute } from '../../protocol/extended.js'
import type { Message } from './messages.js'
import type { Before, ScatterAsk } from './scatter.js'

/** What the client hears before its rows, and after them. Throws 0A000 where other statements are among the messages. */
export function scatterAsk(
  messages: readonly Message[],
  decoder: 'utf8' | 'latin1',
): { readonly ask: Omit<ScatterAsk, 'onBegun'>; readonly after: readonly Uint8Array[] } {
  const at = messages.findIndex(({ kind }) => kind === 'execute')
  const execute = messages[at]
  if (execute?.kind !== 'execute' || execute.statement === null) throw new Error('nothing runs here')
  const { statement, name } = execute
  const others = messages.some((message) => message.kind !== 'close' && message.statement !== statement)
  if (others || messages.some(({ naming }) => naming !== null))
    throw refused('together with other statements before one Sync', 'Send it by itself.')
  if (decodeExecute(execute.frame, decoder).maxRows !== 0)
    throw refused('with a limit of rows for each Execute', 'Use LIMIT, or read all rows.')
  const bind = messages.findLast((message, index) => message.kind === 'bind' && index < at)
  const bound = bind === undefined ? undefined : decodeBind(bind.frame, decoder)
  if (bound?.portal !== name) throw refused('whose Bind was flushed before', 'Send Bind and Execute together.')
  const after = messages.slice(at + 1).map((message) => {
    if (message.kind !== 'close') throw refused('together with what comes behind it before one Sync', 'Send Sync first.')
    return emptyMessages.closeComplete
  })
  return { ask: { types: statement.types, bind: bound, before: messages.slice(0, at).map(before) }, after }
}

function before(message: Message): Before {
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
      throw refused('twice before one Sync', 'Send it by itself.')
  }
}

function refused(how: string, hint: string): PointsmanError {
  return new PointsmanError('feature_not_supported', { values: { what: `a read on several clusters ${how} is not supported` }, hint })
}
