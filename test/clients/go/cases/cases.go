// Package cases is what the programs in this folder have in common: where the server is, and how a case says what became of it.
// One line each: `ok NAME: WHAT IT SAW` or `not ok NAME: WHY`. See test/support/clients.ts, which reads them.
package cases

import (
	"fmt"
	"os"
	"strings"
)

// URL is postgres://user:password@host:port/database.
var URL = os.Getenv("DATABASE_URL")

// Prefix goes before the names of all cases that follow.
var Prefix = ""

var failed = false

// Seen is what a case saw, to be compared with what it sees on a direct connection.
type Seen = []any

// Check runs a case. It may panic: Must does.
func Check(name string, run func() Seen) {
	defer func() {
		if why := recover(); why != nil {
			failed = true
			fmt.Printf("not ok %s%s: %s\n", Prefix, name, line(why))
		}
	}()
	seen := run()
	fmt.Printf("ok %s%s: %s\n", Prefix, name, line(seen))
}

func line(value any) string {
	return strings.ReplaceAll(fmt.Sprintf("%v", value), "\n", " | ")
}

// Must stops the case if there is an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Get is the value of a call that must not fail.
func Get[T any](value T, err error) T {
	Must(err)
	return value
}

// Done says that the program came to its end.
func Done() {
	fmt.Println("done")
	if failed {
		os.Exit(1)
	}
}
