// One transaction on two clusters, as test/faults/two-phase.test.ts and its programs do it.

interface Client {
  query(text: string): Promise<{ readonly command: string }>
}

/** Moves 1 from main to media, and leaves its key on both. */
export async function moved(client: Client, key: string, id: number): Promise<string> {
  await client.query('BEGIN')
  await client.query(`UPDATE main_accounts SET amount = amount - 1 WHERE id = ${String(id)}`)
  await client.query(`UPDATE media_accounts SET amount = amount + 1 WHERE id = ${String(id)}`)
  await client.query(`INSERT INTO main_keys VALUES ('${key}')`)
  await client.query(`INSERT INTO media_keys VALUES ('${key}')`)
  return (await client.query('COMMIT')).command
}
