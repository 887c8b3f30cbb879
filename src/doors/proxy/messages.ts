// doors/proxy/messages.ts — the messages of an extended batch, decoded as far as routing needs them. The frames stay as
// they came; parameters are read only when a plan asks for one.
import { decodeBind, decodeBindHead, decodeClose, decodeDescribe, decodeExecute, decodeParse, type Bind } from '../../protocol/extended.js'
import { Frontend } from '../../protocol/message-types.js'
import { violation } from '../../protocol/violation.js'
import type { ParameterSource, ParameterValue } from '../../routing/input.js'
import { definitionsSeen, somethingDefined } from '../../server/definitions.js'
import type { ClientStatement, Session } from '../../session/session.js'
import { PointsmanError } from '../../errors/error.js'
import { duplicateStatement, encodeParseBytes, fullWith, namingOf, unknownStatement, type Naming } from './named.js'
import type { ParameterText } from '../../session/settings.js'
import { ownParse } from './own-calls.js'
import { sharedStatement } from './shared-statements.js'
import type { Understood } from '../../sql/statement.js'
import type { WithIdParameters } from '../../sql/unique-ids.js'
import { bindWithIds, idsToAwait, onlyAlone, preparedWithIds, typesWithIds, type Ids } from './prepared-ids.js'

/** A portal that this client has bound: what it runs and with which parameters. */
export interface Portal {
  readonly statement: ClientStatement
  readonly parameters: ParameterSource
  readonly text: ParameterText
  /** Its Bind. */
  readonly frame: Uint8Array
  /** Of its Bind. */
  readonly bytes: number
  /** What its statement says of a prepared one by name, as its Bind found it. */
  readonly naming: Naming | null
}

interface MessageBase {
  /** Counts from 0 within the batch; its text is the label in the ledger. */
  readonly index: number
  readonly frame: Uint8Array
}

/**
 * `statement`, `portal` null: the client names one that does not exist. `naming`: what the statement says of a prepared one by
 * name (named.ts); null for all others. `problem`: what a Parse raises by itself, or a naming when it is run.
 */
export type Message = MessageBase &
  (
    | {
        readonly kind: 'parse'
        readonly statement: ClientStatement
        readonly problem: PointsmanError | null
        readonly naming: Naming | null
      }
    | {
        readonly kind: 'bind'
        readonly name: string
        readonly portal: Portal | null
        readonly statement: ClientStatement | null
        readonly naming: Naming | null
        readonly problem: PointsmanError | null
      }
    | {
        readonly kind: 'describe'
        readonly of: 'statement' | 'portal'
        readonly name: string
        readonly statement: ClientStatement | null
        readonly portal: Portal | null
        readonly naming: Naming | null
      }
    | {
        readonly kind: 'execute'
        readonly name: string
        readonly portal: Portal | null
        readonly statement: ClientStatement | null
        readonly naming: Naming | null
        readonly problem: PointsmanError | null
      }
    | {
        readonly kind: 'close'
        readonly of: 'statement' | 'portal'
        readonly name: string
        readonly statement: null
        readonly naming: null
      }
  )

/** Types that a server has told for a statement whose Parse left them open; by statement. */
const described = new WeakMap<ClientStatement, readonly number[]>()

/** Remembers a ParameterDescription: binary parameters can be read only with their types. */
export function rememberTypes(statement: ClientStatement, oids: readonly number[]): void {
  described.set(statement, oids)
}

export class MessageReader {
  readonly #session: Session
  readonly #understand: (text: string) => Understood
  readonly #ids: Ids
  readonly #portals = new Map<string, Portal>()
  /** An Execute of the batch at hand defines something: what is prepared behind it is to know of that. */
  #defines = false

  constructor(session: Session, understand: (text: string) => Understood, ids: Ids) {
    this.#session = session
    this.#understand = understand
    this.#ids = ids
  }

  /** What must be waited for before read() of this Bind; null: nothing. */
  idsAwaited(frame: Uint8Array): Promise<void> | null {
    if (!this.#session.asksIds || this.#ids.isReady) return null
    const head = decodeBindHead(frame, this.#session.decoder)
    return head === null ? null : idsToAwait(this.#ids, this.#session.prepared.get(head.statement))
  }

  /** Portals end with their transaction. */
  forgetPortals(): void {
    this.#portals.clear()
  }

  /**
   * Reads a frame and enters what it defines under the client's names; `undo` takes that back where the message turns
   * out to have failed. Throws 08P01 on a malformed frame.
   */
  read(type: number, frame: Uint8Array, index: number): { readonly message: Message; readonly undo: (() => void) | null } {
    if (index === 0) this.#defines = false
    switch (type) {
      case Frontend.Parse:
        return this.#parse(frame, index)
      case Frontend.Bind:
        return this.#bind(frame, index)
      case Frontend.Describe:
        return { message: this.#describe(frame, index), undo: null }
      case Frontend.Execute:
        return this.#execute(frame, index)
      case Frontend.Close:
        return this.#close(frame, index)
      default:
        throw violation('a message out of place')
    }
  }

  #parse(sent: Uint8Array, index: number): { message: Message; undo: () => void } {
    const { prepared, decoder } = this.#session
    const { name, text: said, types: told } = decodeParse(sent, decoder)
    const given = this.#understand(said)
    const instead = ownParse(this.#session, given, name, told)
    // PREPARE is a statement of its own.
    const ids = given.shape.names ? null : preparedWithIds(this.#session, given, told.length)
    const types = ids === null ? told : typesWithIds(told, ids)
    const text = instead?.own.text ?? ids?.text ?? said
    const frame = ids === null ? (instead?.frame ?? sent) : encodeParseBytes(name, Buffer.from(text, decoder), types)
    const duplicate = name !== '' && prepared.has(name)
    const key = `${types.join(',')}\0${decoder === 'utf8' ? '' : this.#session.encodingKey}${text}`
    const make = (): Omit<ClientStatement, 'name' | 'named' | 'since'> => {
      // A copy: what is kept for long must not keep the chunk it came in.
      return { text, types, key, frame: Uint8Array.from(frame), understood: text === said ? given : this.#understand(text) }
    }
    // It will have run, but is not over before the whole batch is read.
    if (this.#defines) somethingDefined()
    const statement: ClientStatement = {
      name,
      ...(name === '' || instead !== null ? make() : sharedStatement(key, make)),
      named: null,
      since: definitionsSeen(),
      ...(instead === null ? {} : { own: instead.own }),
      ...(ids === null ? {} : { ids }),
    }
    const problem = duplicate ? duplicateStatement(name) : fullWith(prepared)
    if (problem !== null) return { message: { kind: 'parse', index, frame, statement, problem, naming: null }, undo: () => undefined }
    const naming = this.#namingOf(statement)
    prepared.set(name, statement)
    const undo = (): void => {
      if (prepared.get(name) === statement) prepared.delete(name)
    }
    return { message: { kind: 'parse', index, frame, statement, problem, naming }, undo }
  }

  #bind(sent: Uint8Array, index: number): { message: Message; undo: () => void } {
    const { prepared, decoder } = this.#session
    const head = decodeBindHead(sent, decoder)
    if (head === null) throw violation('Bind is shorter than its fields')
    const statement = prepared.get(head.statement) ?? null
    const naming = statement === null ? null : this.#namingOf(statement)
    const bound = statement?.ids === undefined ? sent : this.#withIds(statement.ids, sent)
    const problem = bound instanceof PointsmanError ? bound : null
    const frame = bound instanceof PointsmanError ? sent : bound
    const portal = statement === null || problem !== null ? null : portalOf(statement, naming, frame, decoder)
    const before = this.#portals.get(head.portal)
    if (portal === null) this.#portals.delete(head.portal)
    else this.#portals.set(head.portal, portal)
    const undo = (): void => {
      if (before === undefined) this.#portals.delete(head.portal)
      else this.#portals.set(head.portal, before)
    }
    return { message: { kind: 'bind', index, frame, name: head.statement, portal, statement, naming, problem }, undo }
  }

  /** Why there are none is told when its turn comes. */
  #withIds(asked: WithIdParameters, frame: Uint8Array): Uint8Array | PointsmanError {
    try {
      return bindWithIds(this.#ids, asked, frame)
    } catch (error) {
      if (error instanceof PointsmanError) return error
      throw error
    }
  }

  #namingOf({ understood }: ClientStatement): Naming | null {
    return namingOf(this.#session, understood, this.#understand)
  }

  #describe(frame: Uint8Array, index: number): Message {
    const { of, name } = decodeDescribe(frame, this.#session.decoder)
    const portal = of === 'portal' ? (this.#portals.get(name) ?? null) : null
    const statement = of === 'statement' ? (this.#session.prepared.get(name) ?? null) : (portal?.statement ?? null)
    const naming = of === 'portal' ? (portal?.naming ?? null) : statement === null ? null : this.#namingOf(statement)
    return { kind: 'describe', index, frame, of, name, statement, portal, naming }
  }

  #execute(frame: Uint8Array, index: number): { message: Message; undo: (() => void) | null } {
    const { portal: name } = decodeExecute(frame, this.#session.decoder)
    const portal = this.#portals.get(name) ?? null
    const statement = portal?.statement ?? null
    const naming = portal?.naming ?? null
    if (statement?.understood.shape.statements?.[0]?.detail.kind === 'ddl') this.#defines = true
    if (naming === null) return { message: { kind: 'execute', index, frame, name, portal, statement, naming, problem: null }, undo: null }
    const { problem, undo } = this.#runNaming(naming)
    return { message: { kind: 'execute', index, frame, name, portal, statement, naming, problem }, undo }
  }

  /** What PREPARE and DEALLOCATE do to the client's names, and what EXECUTE needs of them. */
  #runNaming(naming: Naming): { readonly problem: PointsmanError | null; readonly undo: (() => void) | null } {
    const { prepared } = this.#session
    switch (naming.kind) {
      case 'execute':
        if (naming.definition === null) return { problem: unknownStatement(naming.name), undo: null }
        return { problem: naming.definition.ids === undefined ? null : onlyAlone(), undo: null }
      case 'prepare': {
        const { definition } = naming
        const problem = prepared.has(definition.name) ? duplicateStatement(definition.name) : fullWith(prepared)
        if (problem !== null) return { problem, undo: null }
        prepared.set(definition.name, definition)
        return { problem: null, undo: () => prepared.get(definition.name) === definition && prepared.delete(definition.name) }
      }
      case 'deallocate': {
        const gone =
          naming.name === null ? [...prepared].filter(([key]) => key !== '') : [...prepared].filter(([key]) => key === naming.name)
        if (naming.name !== null && gone.length === 0) return { problem: unknownStatement(naming.name), undo: null }
        for (const [key] of gone) prepared.delete(key)
        return { problem: null, undo: () => gone.forEach(([key, statement]) => prepared.set(key, statement)) }
      }
    }
  }

  #close(frame: Uint8Array, index: number): { message: Message; undo: (() => void) | null } {
    const { of, name } = decodeClose(frame, this.#session.decoder)
    const message: Message = { kind: 'close', index, frame, of, name, statement: null, naming: null }
    if (of === 'portal') return { message, undo: null }
    const { prepared } = this.#session
    const before = prepared.get(name)
    if (before === undefined) return { message, undo: null }
    prepared.delete(name)
    return { message, undo: () => void prepared.set(name, before) }
  }
}

/** Parameters of which nothing is known: a Parse or Describe without Bind. */
export const unknownParameters: ParameterSource = { get: () => undefined }

/** What a Bind of `statement` makes; its parameters are read when they are asked for. */
export function portalOf(statement: ClientStatement, naming: Naming | null, frame: Uint8Array, decoder: 'utf8' | 'latin1'): Portal {
  let bind: Bind | null = null
  const get = (number: number): ParameterValue | null | undefined => {
    bind ??= decodeBind(frame, decoder)
    const value = bind.parameter(number)
    if (value === undefined || value === null) return value
    const oid = statement.types[number - 1] ?? 0
    const known = oid === 0 ? (described.get(statement)?.[number - 1] ?? 0) : oid
    if (value.binary) return { binary: value.bytes, oid: known }
    return { text: textOf(value.bytes, decoder), ...(known === 0 ? {} : { oid: known }) }
  }
  const text = (number: number): string | null | undefined => {
    const value = get(number)
    if (value === undefined || value === null) return value
    return 'text' in value ? value.text : textOf(value.binary, decoder)
  }
  return { statement, parameters: { get }, text, frame, bytes: frame.length, naming }
}

function textOf(bytes: Uint8Array, decoder: 'utf8' | 'latin1'): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(decoder)
}
