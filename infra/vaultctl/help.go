package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// asksHelp says whether somebody asks how a command is called. It is answered before anything is opened: whoever asks has no archive yet, perhaps.
func asksHelp(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" }) || len(args) > 0 && args[0] == "help"
}

// overview is every command in a line.
func overview() string {
	all := commands()
	width := 0
	for _, c := range all {
		width = max(width, len(c.name))
	}
	lines := []string{"usage: vaultctl COMMAND …"}
	for _, c := range all {
		first, _, _ := strings.Cut(c.usage, "\n")
		_, does, _ := strings.Cut(first, ": ")
		if end := strings.IndexAny(does, ";."); end >= 0 {
			does = does[:end]
		}
		lines = append(lines, fmt.Sprintf("  %-*s  %s", width, c.name, does))
	}
	return strings.Join(append(lines, "vaultctl COMMAND -h says how it is called"), "\n")
}

// help is how a command is called, each way on a line, and what it does. about is its second word, if only that is asked for.
func (c command) help(about string) string {
	var ways, does []string
	for line := range strings.SplitSeq(c.usage, "\n") {
		calls, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for i, way := range alternatives(calls) {
			if i > 0 {
				way = c.name + " " + way
			}
			ways = append(ways, "vaultctl "+way)
		}
		does = append(does, text)
	}
	if only := slices.DeleteFunc(slices.Clone(ways), func(w string) bool { return !strings.HasPrefix(w+" ", "vaultctl "+c.name+" "+about+" ") }); about != "" && len(only) > 0 {
		ways = only
	}
	return strings.Join(append(ways, wrapped(strings.Join(does, "; "), "    ", 100)...), "\n")
}

// alternatives are the ways to call a command that its usage has with bars between them, those within brackets aside.
func alternatives(calls string) []string {
	var all []string
	depth, from := 0, 0
	for i := range len(calls) {
		switch calls[i] {
		case '[':
			depth++
		case ']':
			depth--
		case '|':
			if depth == 0 && strings.HasPrefix(calls[i:], "| ") && i > 0 && calls[i-1] == ' ' {
				all, from = append(all, strings.TrimSpace(calls[from:i])), i+1
			}
		}
	}
	return append(all, strings.TrimSpace(calls[from:]))
}

// wrapped breaks a text into lines of a width, each behind an indent.
func wrapped(text, indent string, width int) []string {
	var lines []string
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
