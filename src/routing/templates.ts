// routing/templates.ts — plans without their values, kept per shape and per *face*: the part of a session that plans depend
// on, which many sessions share. Everything hangs on weak references to the shape, so what the shape cache drops goes
// from here too; a config or catalog that changed is a new object and starts anew.
import type { PlanInput } from './input.js'
import type { Plan } from './plan.js'
import type { Hints } from '../sql/statement.js'
import type { RouteOverrides, SessionView, TransactionView } from '../session/view.js'

/** A plan that only lacks the values of one execution. */
export type Template = (input: PlanInput) => Plan

/** Stands for all sessions (and hints) that read alike; compared by identity. */
interface Face {
  readonly hinted: Map<string, Face>
}

interface Kept {
  /** The last one used: most shapes are used by sessions of one face. */
  face: Face
  template: Template
  readonly others: Map<Face, Template>
}

/** Everything that holds for one config, database and set of catalogs. */
interface Epoch {
  readonly config: PlanInput['config']
  readonly database: PlanInput['database']
  readonly catalogs: PlanInput['catalogs']
  readonly faces: Map<string, Face>
  readonly bySession: WeakMap<SessionView, Face>
  readonly byShape: WeakMap<object, Kept>
}

const maxFaces = 4096
const maxFacesOfShape = 64
const maxEpochs = 16
const maxHints = 64

/** Newest first. A handful: one for each database in use. */
let epochs: readonly Epoch[] = []

export function cached(input: PlanInput, make: (input: PlanInput) => Template): Template {
  const epoch = epochOf(input)
  const face = faceOf(epoch, input)
  const { shape } = input.understood
  const kept = epoch.byShape.get(shape)
  if (kept === undefined) {
    const template = make(input)
    epoch.byShape.set(shape, { face, template, others: new Map() })
    return template
  }
  if (kept.face === face) return kept.template
  const other = kept.others.get(face)
  const template = other ?? make(input)
  if (other === undefined && kept.others.size >= maxFacesOfShape) kept.others.clear()
  kept.others.set(kept.face, kept.template)
  kept.face = face
  kept.template = template
  return template
}

function epochOf(input: PlanInput): Epoch {
  const { config, database, catalogs } = input
  for (const epoch of epochs) if (epoch.database === database && epoch.catalogs === catalogs && epoch.config === config) return epoch
  const made: Epoch = { config, database, catalogs, faces: new Map(), bySession: new WeakMap(), byShape: new WeakMap() }
  epochs = [made, ...epochs].slice(0, maxEpochs)
  return made
}

function faceOf(epoch: Epoch, input: PlanInput): Face {
  const { session } = input
  const { hints } = input.understood
  let face = epoch.bySession.get(session)
  if (face === undefined) {
    face = intern(epoch.faces, sessionKey(session), maxFaces)
    epoch.bySession.set(session, face)
  }
  return hints === null ? face : intern(face.hinted, hintKey(hints), maxHints)
}

function intern(faces: Map<string, Face>, key: string, max: number): Face {
  const known = faces.get(key)
  if (known !== undefined) return known
  if (faces.size >= max) faces.clear()
  const face: Face = { hinted: new Map() }
  faces.set(key, face)
  return face
}

/** The database is the epoch's; what is read at each execution is a value. */
type NotKept = 'database' | 'shardKey'

/** All of a SessionView that a template reads: a field that is forgotten here does not compile. */
function sessionKey(session: SessionView): string {
  const { transaction, startup } = session
  return JSON.stringify({
    user: session.user,
    pooling: session.pooling,
    bus: session.bus,
    spreads: session.spreads ?? false,
    searchPath: session.searchPath,
    searchPathSettled: session.searchPathSettled,
    startup: startup === undefined ? [] : [...startup.keys()],
    understood: session.understood,
    unicode: session.unicode,
    temporary: [...session.temporary],
    pins: [...session.pins],
    local: overridesKey(session.local),
    session: overridesKey(session.session),
    transaction: {
      status: transaction.status,
      home: transaction.home === null ? null : [transaction.home.cluster, transaction.home.role, transaction.home.place ?? null],
      readOnly: transaction.readOnly,
      needsPrimary: transaction.needsPrimary,
      isolated: transaction.isolated,
      constraints: transaction.constraints ?? false,
      joined: transaction.joined,
      overrides: overridesKey(transaction.overrides),
    } satisfies Record<keyof TransactionView, unknown>,
  } satisfies Record<Exclude<keyof SessionView, NotKept>, unknown>)
}

function overridesKey(overrides: RouteOverrides): object {
  const { consistency, maxStalenessMs, onUnmet, cutOff, cacheMs, maxTxAgeMs, cluster, stickyWrites } = overrides
  const kept = { consistency, maxStalenessMs, onUnmet, cutOff, cacheMs, maxTxAgeMs, cluster, stickyWrites }
  return kept satisfies Record<Exclude<keyof RouteOverrides, NotKept>, unknown>
}

function hintKey(hints: Hints): string {
  return JSON.stringify([hints.consistency, hints.maxStalenessMs, hints.cluster, hints.stickyWrites, hints.explain, hints.problems])
}
