// doors/cli/literal.ts — a text as SQL, in scripts that people read: with E'' and its escapes only where a backslash stands in it, so
// that it is read alike whatever standard_conforming_strings says.

export function literal(text: string): string {
  const doubled = text.replaceAll("'", "''")
  return text.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}
