// session/lane-key.ts — which sessions may share one server connection at the same moment: those whose settings would make a
// server answer alike. `application_name` and Pointsman's own settings change no answer of what runs on a lane; everything
// else is taken to, whether it does or not.
import { isOwn } from './replay.js'
import type { Settings } from './settings.js'

/** What a lane runs with beside its sessions' own settings: whatever was taken for a read by mistake is refused by the server. */
export const laneReadOnly = 'default_transaction_read_only'

const keys = new WeakMap<Settings, string>()

/** Equal texts: the sessions may share a lane. '' where nothing is set. */
export function laneKey(settings: Settings): string {
  if (settings.size === 0) return ''
  let key = keys.get(settings)
  if (key === undefined) {
    const matter = [...settings].filter(([name]) => matters(name)).sort(([left], [right]) => (left < right ? -1 : 1))
    key = matter.length === 0 ? '' : JSON.stringify(matter)
    keys.set(settings, key)
  }
  return key
}

/** What must stand on a lane's connection for sessions with these settings. */
export function laneSettings(settings: Settings): Settings {
  const wanted = new Map([...settings].filter(([name]) => matters(name)))
  return wanted.set(laneReadOnly, 'on')
}

/** By name: what the sessions of a lane have in common. */
export function laneSettingNames(settings: Settings): readonly string[] {
  return [...settings.keys()].filter(matters)
}

function matters(name: string): boolean {
  return name !== 'application_name' && !isOwn(name)
}
