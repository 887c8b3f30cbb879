// session/reserved-settings.ts — settings whose names a language of PostgreSQL's own keeps to itself once it is loaded, which each server
// connection does for itself: one that has it loaded takes no others, and one that has not takes any. Said on one of the latter, such
// a name would fail on all of the former, where it is said again for the client.

const languages: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['plpgsql', new Set(['check_asserts', 'extra_errors', 'extra_warnings', 'print_strict_params', 'variable_conflict'])],
  ['plperl', new Set(['on_init', 'on_plperl_init', 'on_plperlu_init', 'use_strict'])],
  ['pltcl', new Set(['start_proc'])],
  ['pltclu', new Set(['start_proc'])],
])

/** The language that has no setting of this name; null: there may be one. */
export function reservedFor(name: string): string | null {
  const at = name.indexOf('.')
  if (at < 0) return null
  const language = name.slice(0, at).toLowerCase()
  const known = languages.get(language)
  return known === undefined || known.has(name.slice(at + 1).toLowerCase()) ? null : language
}
