// database/sql with lib/pq: unnamed statements, each described before it runs; prepared ones; COPY by a statement of its own.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"

	. "pointsman/clients/cases"
)

var ctx = context.Background()

func main() {
	url := URL + "?sslmode=disable"
	db := Get(sql.Open("postgres", url))
	defer db.Close()
	count := func() (n int) {
		Must(db.QueryRow("SELECT count(*) FROM users").Scan(&n))
		return n
	}

	Check("a table", func() Seen {
		Get(db.Exec("DROP TABLE IF EXISTS users; CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, tags text[])"))
		return Seen{count()}
	})
	Check("create, read, update, delete", func() Seen {
		var id int
		Must(db.QueryRow("INSERT INTO users (name, tags) VALUES ($1, $2) RETURNING id", "Ada", pq.Array([]string{"a", "b"})).Scan(&id))
		Get(db.Exec("INSERT INTO users (name) VALUES ($1), ($2)", "Bob", "Cyd"))
		updated := Get(Get(db.Exec("UPDATE users SET name = name || '!' WHERE id = $1", 2)).RowsAffected())
		deleted := Get(Get(db.Exec("DELETE FROM users WHERE id = $1", 3)).RowsAffected())
		var name string
		var tags []string
		Must(db.QueryRow("SELECT name, tags FROM users WHERE id = $1", id).Scan(&name, pq.Array(&tags)))
		return Seen{id, updated, deleted, name, tags}
	})
	Check("prepared statements", func() Seen {
		statement := Get(db.Prepare("SELECT name FROM users WHERE id = $1"))
		defer statement.Close()
		seen := Seen{}
		for n := range 10 {
			var name string
			err := statement.QueryRow(n % 3).Scan(&name)
			seen = append(seen, name, errors.Is(err, sql.ErrNoRows))
		}
		return seen
	})
	Check("many at once", func() Seen {
		seen := make(Seen, 100)
		db.SetMaxOpenConns(8)
		var group sync.WaitGroup
		for n := range seen {
			group.Add(1)
			go func() {
				defer group.Done()
				var got int
				if err := db.QueryRow("SELECT $1::int", n).Scan(&got); err != nil {
					seen[n] = err
				} else {
					seen[n] = got
				}
			}()
		}
		group.Wait()
		return seen
	})
	Check("transactions", func() Seen {
		tx := Get(db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}))
		Get(tx.Exec("INSERT INTO users (name) VALUES ('Dan')"))
		Get(tx.Exec("SAVEPOINT mine"))
		_, err := tx.Exec("INSERT INTO users (name) VALUES ('Ada')")
		_, aborted := tx.Exec("SELECT 1")
		Get(tx.Exec("ROLLBACK TO mine"))
		var inside int
		Must(tx.QueryRow("SELECT count(*) FROM users").Scan(&inside))
		Must(tx.Rollback())
		readOnly := Get(db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}))
		_, refused := readOnly.Exec("DELETE FROM users")
		Must(readOnly.Rollback())
		return Seen{codeOf(err), codeOf(aborted), inside, codeOf(refused), count()}
	})
	Check("errors", func() Seen {
		seen := Seen{}
		for _, text := range []string{"SELECT nothing", "SELEC 1", "SELECT 1 / 0", "INSERT INTO users (name) VALUES ('Ada')"} {
			_, err := db.Exec(text)
			seen = append(seen, codeOf(err))
		}
		_, err := db.Query("SELECT 1 / $1::int", 0)
		return append(seen, codeOf(err))
	})
	Check("rows that are not read to their end", func() Seen {
		rows := Get(db.Query("SELECT generate_series(1, 10000)"))
		rows.Next()
		Must(rows.Close())
		return Seen{count()}
	})
	Check("COPY", func() Seen {
		tx := Get(db.Begin())
		statement := Get(tx.Prepare(pq.CopyIn("users", "name")))
		for n := range 1000 {
			Get(statement.Exec(fmt.Sprintf("copied %d", n)))
		}
		Get(statement.Exec())
		Must(statement.Close())
		Must(tx.Commit())
		return Seen{count()}
	})
	Check("LISTEN and NOTIFY", func() Seen {
		listener := pq.NewListener(url, time.Second, time.Second, nil)
		defer listener.Close()
		Must(listener.Listen("news"))
		Get(db.Exec("SELECT pg_notify('news', 'hello')"))
		heard := <-listener.Notify
		return Seen{heard.Channel, heard.Extra, listener.Ping()}
	})
	Check("cancel", func() Seen {
		short, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		_, err := db.ExecContext(short, "SELECT pg_sleep(60)")
		return Seen{err != nil, count()}
	})
	Done()
}

func codeOf(err error) string {
	var failure *pq.Error
	if errors.As(err, &failure) {
		return string(failure.Code)
	}
	return fmt.Sprint(err)
}
