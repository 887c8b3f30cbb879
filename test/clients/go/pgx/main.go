// pgx in each of its ways to run a query, from the default (statements prepared and kept) to simple queries; then its pool.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	. "pointsman/clients/cases"
)

var ctx = context.Background()

func main() {
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, mode := range modes {
		Prefix = mode.String() + ", "
		config := Get(pgx.ParseConfig(URL))
		config.DefaultQueryExecMode = mode
		conn := Get(pgx.ConnectConfig(ctx, config))
		withConnection(conn)
		Must(conn.Close(ctx))
	}
	Prefix = ""
	withPool()
	Done()
}

func codeOf(err error) string {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return fmt.Sprint(err)
}

func withConnection(conn *pgx.Conn) {
	exec := func(sql string, args ...any) string { return Get(conn.Exec(ctx, sql, args...)).String() }
	query := func(sql string, args ...any) []map[string]any {
		return Get(pgx.CollectRows(Get(conn.Query(ctx, sql, args...)), pgx.RowToMap))
	}

	Check("a table", func() Seen {
		return Seen{exec("DROP TABLE IF EXISTS users"), exec("CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, born date, tags text[])")}
	})
	Check("create, read, update, delete", func() Seen {
		made := query("INSERT INTO users (name, tags) VALUES ($1, $2) RETURNING *", "Ada", []string{"a", "b"})
		return Seen{
			made,
			exec("INSERT INTO users (name) VALUES ($1), ($2)", "Bob", "Cyd"),
			exec("UPDATE users SET name = name || '!' WHERE id = $1", 2),
			exec("DELETE FROM users WHERE id = $1", 3),
			query("SELECT * FROM users ORDER BY id"),
		}
	})
	Check("again and again", func() Seen {
		seen := Seen{}
		for n := range 20 {
			seen = append(seen, query("SELECT name FROM users WHERE id = $1", n%3))
		}
		return seen
	})
	Check("many statements", func() Seen {
		seen := Seen{}
		for n := range 100 {
			seen = append(seen, query(fmt.Sprintf("SELECT $1::int + %d AS n", n), n)[0]["n"])
		}
		return seen
	})
	Check("prepared by name", func() Seen {
		statement := Get(conn.Prepare(ctx, "by-id", "SELECT name FROM users WHERE id = $1"))
		var name string
		Must(conn.QueryRow(ctx, "by-id", 1).Scan(&name))
		Must(conn.Deallocate(ctx, "by-id"))
		return Seen{name, statement.ParamOIDs, len(statement.Fields)}
	})
	Check("a batch", func() Seen {
		seen := Seen{}
		batch := &pgx.Batch{}
		for n := range 50 {
			batch.Queue("SELECT $1::int AS n", n)
		}
		batch.Queue("UPDATE users SET tags = $1", []string{"x"})
		results := conn.SendBatch(ctx, batch)
		for range 50 {
			var n int
			Must(results.QueryRow().Scan(&n))
			seen = append(seen, n)
		}
		seen = append(seen, Get(results.Exec()).String())
		Must(results.Close())
		return seen
	})
	Check("a batch with an error in it", func() Seen {
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO users (name) VALUES ('lost')")
		batch.Queue("INSERT INTO users (name) VALUES ('Ada')")
		batch.Queue("SELECT 1")
		code := codeOf(conn.SendBatch(ctx, batch).Close())
		return Seen{code, query("SELECT count(*) FROM users WHERE name = 'lost'")}
	})
	Check("transactions and savepoints", func() Seen {
		tx := Get(conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable}))
		Get(tx.Exec(ctx, "INSERT INTO users (name) VALUES ('Dan')"))
		_, err := tx.Exec(ctx, "SAVEPOINT mine")
		Must(err)
		nested := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "INSERT INTO users (name) VALUES ('Ada')")
			return err
		})
		inside := query("SELECT count(*) FROM users")
		Must(tx.Rollback(ctx))
		readOnly := Get(conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}))
		_, err = readOnly.Exec(ctx, "DELETE FROM users")
		Must(readOnly.Rollback(ctx))
		return Seen{codeOf(nested), inside, codeOf(err), query("SELECT count(*) FROM users")}
	})
	Check("errors", func() Seen {
		seen := Seen{}
		for _, sql := range []string{"SELECT nothing", "SELEC 1", "SELECT 1 / 0", "INSERT INTO users (name) VALUES ('Ada')"} {
			_, err := conn.Exec(ctx, sql)
			seen = append(seen, codeOf(err))
		}
		return seen
	})
	Check("rows that are not read to their end", func() Seen {
		rows := Get(conn.Query(ctx, "SELECT generate_series(1, 10000)"))
		rows.Next()
		rows.Close()
		return Seen{query("SELECT 1 AS n")}
	})
	Check("a cursor", func() Seen {
		tx := Get(conn.Begin(ctx))
		Get(tx.Exec(ctx, "DECLARE mine CURSOR FOR SELECT generate_series(1, 25) AS n"))
		seen := Seen{}
		for range 3 {
			rows := Get(tx.Query(ctx, "FETCH 10 FROM mine"))
			seen = append(seen, Get(pgx.CollectRows(rows, pgx.RowTo[int])))
		}
		Must(tx.Commit(ctx))
		return seen
	})
	Check("COPY both ways", func() Seen {
		rows := [][]any{}
		for n := range 1000 {
			rows = append(rows, []any{fmt.Sprintf("copied %d", n)})
		}
		copied := Get(conn.CopyFrom(ctx, pgx.Identifier{"users"}, []string{"name"}, pgx.CopyFromRows(rows)))
		var out bytes.Buffer
		told := Get(conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT name FROM users) TO STDOUT"))
		_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("a\tb\n"), "COPY users (name) FROM STDIN")
		return Seen{copied, told.String(), strings.Count(out.String(), "\n"), codeOf(err)}
	})
	Check("after a change of the table", func() Seen {
		exec("ALTER TABLE users ADD COLUMN karma int DEFAULT 7")
		// Statements that pgx keeps fail once, as they do on any connection; then pgx has forgotten them.
		rows, _ := conn.Query(ctx, "SELECT * FROM users ORDER BY id")
		rows.Close()
		return Seen{len(query("SELECT * FROM users ORDER BY id LIMIT 1")[0])}
	})
	Check("cancel", func() Seen {
		done := make(chan string)
		go func() {
			_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
			done <- codeOf(err)
		}()
		for { // again where it came before the statement ran
			select {
			case code := <-done:
				return Seen{code, query("SELECT 1 AS n")}
			case <-time.After(500 * time.Millisecond):
				Must(conn.PgConn().CancelRequest(ctx))
			}
		}
	})
}

func withPool() {
	pool := Get(pgxpool.New(ctx, URL))
	defer pool.Close()
	Check("a pool", func() Seen {
		seen := make(Seen, 100)
		var group sync.WaitGroup
		for n := range seen {
			group.Add(1)
			go func() {
				defer group.Done()
				var got int
				if err := pool.QueryRow(ctx, "SELECT $1::int", n).Scan(&got); err != nil {
					seen[n] = err
				} else {
					seen[n] = got
				}
			}()
		}
		group.Wait()
		return seen
	})
	Check("LISTEN and NOTIFY", func() Seen {
		listener := Get(pool.Acquire(ctx))
		defer listener.Release()
		Get(listener.Exec(ctx, "LISTEN news"))
		Get(pool.Exec(ctx, "SELECT pg_notify('news', 'hello')"))
		heard := Get(listener.Conn().WaitForNotification(ctx))
		Get(listener.Exec(ctx, "UNLISTEN *"))
		return Seen{heard.Channel, heard.Payload}
	})
	Check("a deadline", func() Seen {
		short, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		_, err := pool.Exec(short, "SELECT pg_sleep(60)")
		return Seen{errors.Is(err, context.DeadlineExceeded), Get(pool.Exec(ctx, "SELECT 1")).String()}
	})
	Check("settings", func() Seen {
		conn := Get(pgx.Connect(ctx, URL+"?application_name=mine&statement_timeout=5000&search_path=pg_catalog"))
		defer conn.Close(ctx)
		seen := Seen{}
		for _, name := range []string{"application_name", "statement_timeout", "search_path"} {
			var value string
			Must(conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value))
			seen = append(seen, value)
		}
		return append(seen, conn.PgConn().ParameterStatus("application_name"))
	})
}
