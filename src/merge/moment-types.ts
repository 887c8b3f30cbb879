// merge/moment-types.ts — date, time, timetz, timestamp, timestamptz, interval. Binary is read as it stands; text only in the
// ISO form (and intervals in the postgres form), which no other DateStyle or IntervalStyle can be taken for: what is written
// otherwise is refused. Moments count in microseconds; ±infinity are the ends of the scale.
import { compareWhole, int4Binary, int8Binary, readInt64, sized, type Whole } from './plain-types.js'
import { latin1, viewOf, type ValueType } from './value-type.js'
import { cannotRead } from './problems.js'

const dayMicros = 86_400_000_000
/** Days that a double counts in microseconds without loss, with room for a time of day. */
const nearDays = 100_000

const datePattern = '([0-9]{4,})-([0-9]{2})-([0-9]{2})'
const timePattern = '([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\\.([0-9]{1,6}))?'
const zonePattern = '([+-])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?'
const dateForm = new RegExp(`^${datePattern}( BC)?$`)
const timeForm = new RegExp(`^${timePattern}$`)
const timetzForm = new RegExp(`^${timePattern}${zonePattern}$`)
const timestampForm = new RegExp(`^${datePattern} ${timePattern}( BC)?$`)
const timestamptzForm = new RegExp(`^${datePattern} ${timePattern}${zonePattern}( BC)?$`)

type Groups = readonly (string | undefined)[]

/** Days since 1970-01-01 in the Gregorian calendar, of which the year before 1 is 1 BC. */
function days(groups: Groups, at: number, bc: boolean): number {
  const [year, month, day] = [Number(groups[at]), Number(groups[at + 1]), Number(groups[at + 2])]
  const shifted = (bc ? 1 - year : year) - (month <= 2 ? 1 : 0)
  const era = Math.floor(shifted / 400)
  const ofEra = shifted - era * 400
  const ofYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear
}

function timeOfDay(groups: Groups, at: number): number {
  const seconds = Number(groups[at]) * 3600 + Number(groups[at + 1]) * 60 + Number(groups[at + 2])
  return seconds * 1_000_000 + Number((groups[at + 3] ?? '').padEnd(6, '0'))
}

/** Seconds east of Greenwich. */
function zone(groups: Groups, at: number): number {
  const seconds = Number(groups[at + 1]) * 3600 + Number(groups[at + 2] ?? 0) * 60 + Number(groups[at + 3] ?? 0)
  return groups[at] === '-' ? -seconds : seconds
}

function micros(dayCount: number, time: number): Whole {
  if (Math.abs(dayCount) < nearDays) return dayCount * dayMicros + time
  return BigInt(dayCount) * BigInt(dayMicros) + BigInt(time)
}

function textType(type: string, form: RegExp, read: (groups: Groups) => Whole): ValueType<Whole> {
  return {
    read: (bytes) => {
      const text = latin1(bytes)
      const match = form.exec(text)
      return match === null ? endless(type, text) : read(match)
    },
    compare: compareWhole,
    key: String,
  }
}

function endless(type: string, text: string): number {
  if (text === 'infinity' && type !== 'time') return Infinity
  if (text === '-infinity' && type !== 'time') return -Infinity
  throw cannotRead(type)
}

export const dateText: ValueType<Whole> = textType('date', dateForm, (groups) => days(groups, 1, groups[4] !== undefined))
export const dateBinary: ValueType<Whole> = int4Binary
export const timeText: ValueType<Whole> = textType('time', timeForm, (groups) => timeOfDay(groups, 1))
export const timeBinary: ValueType<Whole> = int8Binary
export const timestampText: ValueType<Whole> = textType('timestamp', timestampForm, (groups) =>
  micros(days(groups, 1, groups[8] !== undefined), timeOfDay(groups, 4)),
)
export const timestamptzText: ValueType<Whole> = textType('timestamptz', timestamptzForm, (groups) =>
  micros(days(groups, 1, groups[12] !== undefined), timeOfDay(groups, 4) - zone(groups, 8) * 1_000_000),
)
/** Of timestamp and timestamptz alike. */
export const timestampBinary: ValueType<Whole> = int8Binary

/** By the moment it stands for, then by the zone, the one further west being the greater. */
interface ZonedTime {
  readonly utc: number
  /** Seconds west of Greenwich. */
  readonly west: number
}

function zonedType(read: (bytes: Uint8Array) => ZonedTime): ValueType<ZonedTime> {
  return { read, compare: (a, b) => a.utc - b.utc || a.west - b.west, key: ({ utc, west }) => `${utc}:${west}` }
}

export const timetzText: ValueType<ZonedTime> = zonedType((bytes) => {
  const match = timetzForm.exec(latin1(bytes))
  if (match === null) throw cannotRead('timetz')
  const west = 0 - zone(match, 5)
  return { utc: timeOfDay(match, 1) + west * 1_000_000, west }
})
export const timetzBinary: ValueType<ZonedTime> = zonedType(
  sized('timetz', 12, (bytes) => {
    const west = viewOf(bytes).getInt32(8)
    return { utc: Number(readInt64(bytes)) + west * 1_000_000, west }
  }),
)

/** The three fields of an interval; infinite ones have all three at the same end of their range. */
export interface Interval {
  readonly months: number
  readonly days: number
  readonly micros: bigint
}

export const intervalMost: Interval = { months: 0x7fffffff, days: 0x7fffffff, micros: 0x7fffffffffffffffn }
export const intervalLeast: Interval = { months: -0x80000000, days: -0x80000000, micros: -0x8000000000000000n }

const part = (unit: string): string => `(?:([+-]?[0-9]+) ${unit}s?(?: |$))?`
const intervalForm = new RegExp(
  `^${part('year')}${part('mon')}${part('day')}(?:([+-]?)([0-9]{2,}):([0-9]{2}):([0-9]{2})(?:\\.([0-9]{1,6}))?)?$`,
)

export function intervalFromText(bytes: Uint8Array): Interval {
  const text = latin1(bytes)
  if (text === 'infinity') return intervalMost
  if (text === '-infinity') return intervalLeast
  const match = intervalForm.exec(text)
  if (match === null || text === '') throw cannotRead('interval')
  const seconds = BigInt(match[5] ?? 0) * 3600n + BigInt(match[6] ?? 0) * 60n + BigInt(match[7] ?? 0)
  const time = seconds * 1_000_000n + BigInt((match[8] ?? '').padEnd(6, '0'))
  return {
    months: Number(match[1] ?? 0) * 12 + Number(match[2] ?? 0),
    days: Number(match[3] ?? 0),
    micros: match[4] === '-' ? -time : time,
  }
}

export const intervalFromBinary: (bytes: Uint8Array) => Interval = sized('interval', 16, (bytes) => {
  const view = viewOf(bytes)
  return { micros: view.getBigInt64(0), days: view.getInt32(8), months: view.getInt32(12) }
})

/** As interval_cmp_value: a month has thirty days, a day twenty-four hours. */
function span({ months, days: dayCount, micros: time }: Interval): bigint {
  return time + BigInt(months * 30 + dayCount) * BigInt(dayMicros)
}

export const intervalText: ValueType<Whole> = { read: (bytes) => span(intervalFromText(bytes)), compare: compareWhole, key: String }
export const intervalBinary: ValueType<Whole> = { read: (bytes) => span(intervalFromBinary(bytes)), compare: compareWhole, key: String }

/** As interval_send writes it. */
export function intervalToBinary({ months, days: dayCount, micros: time }: Interval): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = viewOf(bytes)
  view.setBigInt64(0, time)
  view.setInt32(8, dayCount)
  view.setInt32(12, months)
  return bytes
}

/** As interval_out writes it where IntervalStyle is postgres. */
export function intervalToText(value: Interval): string {
  if (sameInterval(value, intervalMost)) return 'infinity'
  if (sameInterval(value, intervalLeast)) return '-infinity'
  const words: string[] = []
  let before = false
  const months = value.months % 12
  for (const [count, unit] of [
    [(value.months - months) / 12, 'year'],
    [months, 'mon'],
    [value.days, 'day'],
  ] as const) {
    if (count === 0) continue
    words.push(`${before && count > 0 ? '+' : ''}${count} ${unit}${count === 1 ? '' : 's'}`)
    before = count < 0
  }
  if (words.length === 0 || value.micros !== 0n) words.push(clock(value.micros, before))
  return words.join(' ')
}

function clock(time: bigint, before: boolean): string {
  const magnitude = time < 0n ? -time : time
  const seconds = magnitude / 1_000_000n
  const two = (value: bigint): string => value.toString().padStart(2, '0')
  const fraction = (magnitude % 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '')
  const sign = time < 0n ? '-' : before ? '+' : ''
  return `${sign}${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${fraction === '' ? '' : `.${fraction}`}`
}

export function sameInterval(a: Interval, b: Interval): boolean {
  return a.months === b.months && a.days === b.days && a.micros === b.micros
}
