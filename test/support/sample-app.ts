// test/support/sample-app.ts — a small application with everything in one database: users, their images, comments on these. It
// was written for the audit: twelve places cross what is to be split, of eight kinds, and everything else stays on its side.
import type pg from 'pg'
import type { DatabaseInput } from '../../src/config/input.js'

/** What is to become of it: images elsewhere, comments sharded by image; users stay. All on `main` yet. */
export const sampleSplit: DatabaseInput = {
  default: 'main',
  owner: 'core-team',
  partitions: {
    media: { cluster: 'main', owner: 'media-team', tables: ['images', 'image_*'], virtual: true, mode: 'log' },
  },
  sharded: {
    comments: {
      cluster: 'main',
      shards: 16,
      by: 'hash',
      key_type: 'bigint',
      owner: 'comments-team',
      tables: { comments: 'image_id', comment_votes: 'image_id' },
      virtual: true,
      mode: 'log',
    },
  },
  reference: ['countries'],
}

export const sampleSchema = `
CREATE TABLE countries (code text PRIMARY KEY, name text);
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, country text REFERENCES countries, karma int DEFAULT 0);
CREATE TABLE logins (user_id bigint REFERENCES users, at timestamptz DEFAULT now());
CREATE TABLE images (id bigserial PRIMARY KEY, user_id bigint REFERENCES users, title text, comment_count int DEFAULT 0);
CREATE TABLE image_tags (image_id bigint REFERENCES images, tag text);
CREATE TABLE comments (image_id bigint REFERENCES images, id bigint, user_id bigint, body text, PRIMARY KEY (image_id, id));
CREATE TABLE comment_votes (image_id bigint, comment_id bigint, user_id bigint);
CREATE VIEW user_names AS SELECT id, name FROM users;
CREATE VIEW image_titles AS SELECT id, title FROM images;
CREATE VIEW gallery AS SELECT u.name, i.title FROM users u JOIN images i ON i.user_id = u.id;
CREATE FUNCTION karma_of(who bigint) RETURNS int LANGUAGE sql STABLE AS 'SELECT karma FROM users WHERE id = who';
CREATE FUNCTION tidy_user(who bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
  UPDATE users SET karma = karma + 1 WHERE id = who;
  n := (SELECT count(*) FROM comments WHERE user_id = who);
  RETURN n;
END $$;
CREATE FUNCTION count_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE images SET comment_count = comment_count + 1 WHERE id = NEW.image_id;
  RETURN NULL;
END $$;
CREATE TRIGGER comments_counted AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION count_comment();
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := coalesce(NEW.title, 'untitled'); RETURN NEW; END $$;
CREATE TRIGGER images_stamped BEFORE INSERT ON images FOR EACH ROW EXECUTE FUNCTION stamp();
INSERT INTO countries VALUES ('de', 'Germany'), ('us', 'United States');
INSERT INTO users (name, country) SELECT 'user ' || n, 'de' FROM generate_series(1, 20) n;
INSERT INTO images (user_id, title) SELECT n, 'image ' || n FROM generate_series(1, 20) n;
INSERT INTO comments SELECT n, 1, n, 'first' FROM generate_series(1, 20) n;
`

/** The twelve: kind, what is reached from, what is reached. */
export const planted: readonly (readonly [kind: string, from: string, to: string])[] = [
  ['join', 'public.users', 'public.images'],
  ['join', 'public.images', 'public.comments'],
  ['subquery', 'public.users', 'public.images'],
  ['subquery', 'public.image_tags', 'public.users'],
  ['transaction', 'cluster main', 'public.images'],
  ['transaction', 'partition media', 'public.comment_votes'],
  ['foreign_key', 'public.images', 'public.users'],
  ['foreign_key', 'public.comments', 'public.images'],
  ['view', 'public.gallery', 'public.images'],
  ['function', 'public.users', 'public.comments'],
  ['trigger', 'public.comments', 'public.images'],
  ['shard_key', 'public.comments', 'public.comments'],
]

type Query = (text: string, values?: unknown[]) => Promise<unknown>

/** One round of everything that the application does. */
export async function runSampleApp(client: Pick<pg.Client, 'query'>): Promise<void> {
  const query: Query = (text, values) => client.query(text, values)
  await ownStatements(query)
  await crossingStatements(query)
}

/** Each stays on its side. */
export async function ownStatements(query: Query): Promise<void> {
  await query('SELECT u.name, c.name FROM users u JOIN countries c ON c.code = u.country WHERE u.id = $1', [3])
  await query('SELECT name FROM user_names WHERE id = $1', [3])
  await query('SELECT karma_of($1)', [3])
  await query('INSERT INTO logins (user_id) VALUES ($1)', [3])
  await query('SELECT title FROM image_titles WHERE id = $1', [4])
  await query('SELECT i.title, t.tag FROM images i LEFT JOIN image_tags t ON t.image_id = i.id WHERE i.id = $1', [4])
  await query('INSERT INTO images (user_id, title) VALUES ($1, $2)', [3, 'new'])
  await query("SELECT nextval('images_id_seq')")
  await query('SELECT body FROM comments WHERE image_id = $1 ORDER BY id', [4])
  await query(
    'SELECT count(*) FROM comments c JOIN comment_votes v ON v.image_id = c.image_id WHERE c.image_id = $1 AND v.image_id = $1',
    [4],
  )
  await query('BEGIN')
  await query('UPDATE users SET karma = karma + 1 WHERE id = $1', [3])
  await query('INSERT INTO logins (user_id) VALUES ($1)', [3])
  await query('COMMIT')
  await query('BEGIN')
  await query('UPDATE images SET title = $2 WHERE id = $1', [4, 'better'])
  await query('INSERT INTO image_tags VALUES ($1, $2)', [4, 'red'])
  await query('COMMIT')
}

/** Nine of the twelve, and the one that the trigger makes; the foreign keys stand in the catalog alone. */
async function crossingStatements(query: Query): Promise<void> {
  await query('SELECT u.name, i.title FROM users u JOIN images i ON i.user_id = u.id WHERE u.id = $1', [3])
  await query('SELECT i.title, c.body FROM images i JOIN comments c ON c.image_id = i.id WHERE i.id = $1 AND c.image_id = $1', [4])
  await query('SELECT name FROM users WHERE id IN (SELECT user_id FROM images WHERE title = $1)', ['image 3'])
  await query('INSERT INTO image_tags SELECT $1, name FROM users WHERE id = $2', [4, 3])
  await query('BEGIN')
  await query('UPDATE users SET karma = karma + 5 WHERE id = $1', [3])
  await query('UPDATE images SET title = $2 WHERE user_id = $1', [3, 'moved'])
  await query('COMMIT')
  await query('BEGIN')
  await query('UPDATE images SET comment_count = 0 WHERE id = $1', [4])
  await query('DELETE FROM comment_votes WHERE image_id = $1', [4])
  await query('COMMIT')
  await query('SELECT * FROM gallery LIMIT 3')
  await query('SELECT tidy_user($1)', [3])
  await query('INSERT INTO comments (image_id, id, user_id, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [5, 2, 3, 'again'])
  await query('UPDATE comments SET body = $2 WHERE user_id = $1', [3, 'gone'])
}
