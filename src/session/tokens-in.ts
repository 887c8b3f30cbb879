// session/tokens-in.ts — the tokens that a text brings by SET and set_config(). They move a session's floors and are never
// among its settings (session.ts keeps only that there was one, so that connections get rid of it).
import type { Understood } from '../sql/statement.js'
import { tokenSetting } from './route-settings.js'
import { resolveChange, type ParameterText } from './settings.js'

/** In the order of the text. NULL and DEFAULT bring none: what a token has raised is not taken back. */
export function tokensIn({ shape }: Understood, parameter: ParameterText): readonly string[] {
  return (shape.statements ?? []).flatMap(({ detail }) => {
    const changes = detail.kind === 'set' ? [detail.change] : detail.kind === 'select' ? (detail.settings ?? []) : []
    return changes.flatMap((change) => (change.name === tokenSetting ? (resolveChange(change, parameter)?.value ?? []) : []))
  })
}
