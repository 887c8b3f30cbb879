// test/support/splitting-app.ts — an application at work while its database is split: several clients, each with a user of its own and
// so with an exact idea of what every answer must be. Its first version asks across what is to be parted, the second does not. Every
// write carries a key of its own, so that the end can be counted.
import pg from 'pg'
import { until } from '../../src/embedded/until.js'

/** How a client sends: all in one Query, with parameters, or by statements that it has prepared. */
export type Way = 'simple' | 'parameters' | 'prepared'

export const splittingSchema = {
  users: `
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, images int NOT NULL DEFAULT 0);
CREATE TABLE logins (user_id bigint REFERENCES users, key text NOT NULL);
INSERT INTO users (id, name) SELECT n, 'user ' || n FROM generate_series(1, 3) n;
`,
  media: `
CREATE TABLE images (id bigserial PRIMARY KEY, user_id bigint NOT NULL, title text, key text NOT NULL);
CREATE TABLE image_tags (image_id bigint REFERENCES images, key text NOT NULL);
`,
  comments: `
CREATE TABLE comments (image_id bigint NOT NULL, key text NOT NULL, PRIMARY KEY (image_id, key));
`,
  /** What reaches across, while all of it is in one database. */
  across: `
ALTER TABLE images ADD CONSTRAINT images_user_id_fkey FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE comments ADD CONSTRAINT comments_image_id_fkey FOREIGN KEY (image_id) REFERENCES images;
CREATE VIEW gallery AS SELECT u.id, i.key FROM users u JOIN images i ON i.user_id = u.id;
CREATE FUNCTION note_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE images SET title = title WHERE id = NEW.image_id; RETURN NULL; END $$;
CREATE TRIGGER comments_counted AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION note_comment();
`,
} as const

interface Image {
  readonly id: string
  title: string
  readonly key: string
  readonly comments: string[]
}

type Row = Readonly<Record<string, unknown>>

export class SplittingApp {
  /** Keys whose writes were acknowledged, by table. */
  readonly keys: Readonly<Record<'images' | 'image_tags' | 'comments' | 'logins', string[]>> = {
    images: [],
    image_tags: [],
    comments: [],
    logins: [],
  }
  /** Errors, and answers that were not as they had to be. */
  readonly wrong: string[] = []
  version: 1 | 2 = 1
  /** Rounds that each client has ended. */
  readonly #rounds: number[] = []
  #stopped = false
  readonly #work: Promise<void>[] = []

  start(user: number, client: pg.Client, way: Way): void {
    this.#rounds[user] = 0
    this.#work.push(new Person(this, user, client, way).live(() => (this.#rounds[user] = (this.#rounds[user] ?? 0) + 1)))
  }

  get stopped(): boolean {
    return this.#stopped || this.wrong.length > 0
  }

  get rounds(): number {
    return this.#rounds.reduce((sum, one) => sum + one, 0)
  }

  /** Every client has begun and ended a whole round since the call. */
  async wholeRound(): Promise<void> {
    const before = [...this.#rounds]
    const done = (): boolean => this.wrong.length > 0 || this.#rounds.every((rounds, user) => rounds >= (before[user] ?? 0) + 2)
    await until('every client has gone round', () => Promise.resolve(done()), 60_000)
    if (this.wrong.length > 0) throw new Error(this.wrong.join('\n'))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#work)
  }
}

/** One client of the application. Nobody else writes what is its user's. */
class Person {
  readonly #app: SplittingApp
  readonly #user: number
  readonly #client: pg.Client
  readonly #way: Way
  readonly #images: Image[] = []
  #serial = 0

  constructor(app: SplittingApp, user: number, client: pg.Client, way: Way) {
    this.#app = app
    this.#user = user
    this.#client = client
    this.#way = way
  }

  async live(ended: () => void): Promise<void> {
    while (!this.#app.stopped) {
      try {
        await this.#round(this.#app.version)
        ended()
      } catch (error) {
        const { message, code } = error as Error & { code?: string }
        this.#app.wrong.push(`client ${String(this.#user)} (${this.#way}): ${code ?? ''} ${message}`)
      }
    }
  }

  async #round(version: 1 | 2): Promise<void> {
    await this.#logIn()
    const image = await this.#upload(version)
    await this.#comment(image)
    await this.#rename(image)
    await this.#look(image, version)
  }

  async #logIn(): Promise<void> {
    const key = this.#key()
    await this.#query('BEGIN')
    await this.#query('UPDATE users SET name = name WHERE id = $1', [this.#user])
    await this.#query('INSERT INTO logins (user_id, key) VALUES ($1, $2)', [this.#user, key])
    await this.#query('COMMIT')
    this.#app.keys.logins.push(key)
  }

  async #upload(version: 1 | 2): Promise<Image> {
    const key = this.#key()
    const count = 'UPDATE users SET images = images + 1 WHERE id = $1'
    if (version === 1) {
      await this.#query('BEGIN')
      await this.#query(count, [this.#user])
    }
    const [row] = await this.#query('INSERT INTO images (user_id, title, key) VALUES ($1, $2, $3) RETURNING id', [this.#user, 'new', key])
    if (version === 1) await this.#query('COMMIT')
    else await this.#query(count, [this.#user])
    const image = { id: String(row?.['id']), title: 'new', key, comments: [] }
    this.#images.push(image)
    this.#app.keys.images.push(key)
    return image
  }

  async #comment(image: Image): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const key = this.#key()
      await this.#query('INSERT INTO comments (image_id, key) VALUES ($1, $2)', [image.id, key])
      image.comments.push(key)
      this.#app.keys.comments.push(key)
    }
  }

  async #rename(image: Image): Promise<void> {
    const key = this.#key()
    await this.#query('BEGIN')
    await this.#query('UPDATE images SET title = $2 WHERE id = $1', [image.id, `title ${key}`])
    await this.#query('INSERT INTO image_tags (image_id, key) VALUES ($1, $2)', [image.id, key])
    await this.#query('COMMIT')
    image.title = `title ${key}`
    this.#app.keys.image_tags.push(key)
  }

  /** Everything that this client knows of. */
  async #look(image: Image, version: 1 | 2): Promise<void> {
    const user = [this.#user]
    const name = `user ${String(this.#user)}`
    await this.#expect('SELECT name, images FROM users WHERE id = $1', user, [{ name, images: this.#images.length }])
    await this.#expect('SELECT title, key FROM images WHERE id = $1', [image.id], [{ title: image.title, key: image.key }])
    const keys = this.#images.map(({ key }) => ({ key }))
    await this.#expect('SELECT key FROM images WHERE user_id = $1 ORDER BY id', user, keys)
    const old = this.#images[Math.floor(this.#images.length / 2)] as Image
    const comments = old.comments.map((key) => ({ key }))
    await this.#expect('SELECT key FROM comments WHERE image_id = $1 ORDER BY key', [old.id], comments.sort(byKey))
    if (version === 2) return
    const join = 'SELECT u.name, i.key FROM users u JOIN images i ON i.user_id = u.id WHERE u.id = $1 ORDER BY i.id'
    await this.#expect(
      join,
      user,
      keys.map(({ key }) => ({ name, key })),
    )
    await this.#expect('SELECT name FROM users WHERE id IN (SELECT user_id FROM images WHERE id = $1)', [image.id], [{ name }])
    await this.#expect('SELECT count(*)::int AS n FROM gallery WHERE id = $1', user, [{ n: keys.length }])
  }

  async #expect(text: string, values: readonly unknown[], expected: readonly Row[]): Promise<void> {
    const rows = await this.#query(text, values)
    const [got, wanted] = [JSON.stringify(rows), JSON.stringify(expected)]
    if (got !== wanted) throw new Error(`${text}: got ${got}, and not ${wanted}`)
  }

  async #query(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    const client = this.#client
    if (this.#way === 'simple' || values.length === 0) {
      const literals = values.map((value) => (typeof value === 'number' ? String(value) : pg.escapeLiteral(String(value))))
      return (await client.query<Row>(text.replaceAll(/\$(\d)/g, (_, number) => literals[Number(number) - 1] ?? ''))).rows
    }
    const name = this.#way === 'prepared' ? { name: text.slice(0, 60) } : {}
    return (await client.query<Row>({ text, values: [...values], ...name })).rows
  }

  #key(): string {
    return `${String(this.#user)}-${String(this.#serial++)}`
  }
}

function byKey(a: { readonly key: string }, b: { readonly key: string }): number {
  return a.key < b.key ? -1 : 1
}
