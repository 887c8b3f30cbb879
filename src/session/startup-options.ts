// session/startup-options.ts — the `options` of a StartupMessage: command-line switches for the server, of which only
// those that set a run-time parameter make sense here (`-c name=value`, `-cname=value`, `--name=value`).

export type StartupOptions =
  | { readonly ok: true; readonly settings: readonly (readonly [name: string, value: string])[] }
  /** The argument that is none of these. */
  | { readonly ok: false; readonly argument: string }

/** Splits as PostgreSQL does: at white space, where a backslash takes the next character as it stands. */
export function splitOptions(options: string): readonly string[] {
  const words: string[] = []
  let word: string | null = null
  for (let i = 0; i < options.length; i++) {
    const char = options.charAt(i)
    if (/[ \t\n\r\f\v]/.test(char)) {
      if (word !== null) words.push(word)
      word = null
    } else if (char === '\\' && i + 1 < options.length) word = (word ?? '') + options.charAt(++i)
    else word = (word ?? '') + char
  }
  if (word !== null) words.push(word)
  return words
}

/** The settings in `options`, names in lower case with `-` read as `_`. */
export function parseStartupOptions(options: string): StartupOptions {
  const settings: (readonly [string, string])[] = []
  const words = splitOptions(options)
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    const assignment =
      word === '-c' ? words[++i] : word.startsWith('-c') ? word.slice(2) : word.startsWith('--') ? word.slice(2) : undefined
    const equals = assignment?.indexOf('=') ?? -1
    if (assignment === undefined || equals < 1) return { ok: false, argument: word }
    settings.push([settingName(assignment.slice(0, equals)), assignment.slice(equals + 1)])
  }
  return { ok: true, settings }
}

/** PostgreSQL folds case and reads `-` as `_` in names of settings given as switches. */
function settingName(name: string): string {
  return name.toLowerCase().replaceAll('-', '_')
}
