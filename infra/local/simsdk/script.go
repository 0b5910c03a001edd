package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A script makes simsdk misbehave on purpose, for the conformance tests. Its environment is emptied, so the file is named by the argument
// -script. A line is
//
//	[once PATH] CALL MATCH ACT [NUMBER or PATH]
//
// CALL is open, chatdata, decrypt, media, ping or * for all. MATCH is * or a text that must occur in the seq, the encrypt_chat_msg or the sdkfileid.
// ACT is abort, segfault, hang, leak (NUMBER MiB stay resident), print (on descriptors 1 and 2), note (the call's
// name is added to the file at PATH) or code (NUMBER is returned and nothing is done). After once, the line is played by the one process that can
// remove the file at PATH, and no second time. Of the lines that match all are played in order, up to one that ends the call. Empty lines and those that begin with # are
// skipped.
type script []act

type act struct {
	call, match, what string
	number            int32
	path              string // of the act note
	once              string // the file whose removal allows it; "": no condition
}

// acts are those there are, and what follows them.
var acts = map[string]string{"abort": "", "segfault": "", "hang": "", "leak": "NUMBER", "print": "", "note": "PATH", "code": "NUMBER"}

// loadScript reads the script that the arguments name.
func loadScript(args []string) (script, error) {
	flags := flag.NewFlagSet("simsdk", flag.ContinueOnError)
	path := flags.String("script", "", "file that says how to misbehave")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("reading the arguments: %w", err)
	}
	if *path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(*path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	return parseScript(string(b))
}

func parseScript(text string) (script, error) {
	var s script
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		once := ""
		if len(words) > 2 && words[0] == "once" {
			once, words = words[1], words[2:]
		}
		if len(words) < 3 {
			return nil, fmt.Errorf("line %d of the script has fewer than three words", n+1)
		}
		a := act{call: words[0], match: words[1], what: words[2], once: once}
		more, ok := acts[a.what]
		if !ok || len(words) > 4 || (more != "") != (len(words) == 4) {
			return nil, fmt.Errorf("line %d of the script: %q is no act, or what follows it is wrong", n+1, a.what)
		}
		if more == "PATH" {
			a.path = words[3]
		}
		if more == "NUMBER" {
			v, err := strconv.ParseInt(words[3], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("line %d of the script: %q is no number", n+1, words[3])
			}
			a.number = int32(v)
		}
		s = append(s, a)
	}
	return s, nil
}

// leaked is what the act leak has taken; it is never let go.
type leaked [][]byte

// play plays the acts for a call and says whether one of them answers it, with which code.
func (h *host) play(call, about string) (code int32, answered bool) {
	for _, a := range h.script {
		if (a.call != "*" && a.call != call) || (a.match != "*" && !strings.Contains(about, a.match)) {
			continue
		}
		if a.once != "" && os.Remove(a.once) != nil {
			continue // another process, or an earlier call, had it
		}
		switch a.what {
		case "abort":
			abort()
		case "segfault":
			end(syscall.SIGSEGV)
		case "hang":
			select {}
		case "leak":
			b := make([]byte, int(a.number)<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			h.leaked = append(h.leaked, b)
		case "print":
			for _, f := range []*os.File{os.Stdout, os.Stderr} {
				// It goes nowhere, which is what is tried.
				_, _ = f.WriteString("simsdk prints \x00 what nobody should see\n")
			}
		case "note":
			note(a.path, call)
		case "code":
			return a.number, true
		}
	}
	return 0, false
}

// note adds a line to a file that other processes write too. What can't be written is missed by whoever reads it, which is where it shows.
func note(path, line string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- the script names it
	if err != nil {
		return
	}
	_, _ = f.WriteString(line + "\n")
	_ = f.Close()
}
