package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed expected.txt
var expectedText string

// expected is one mail that must come, or one message in WeCom.
type expected struct {
	line    int // in expected.txt
	day     int
	to      string
	report  string
	urgent  bool
	rows    []string // userids, sorted; nil: not stated
	count   int      // of rows; -1: not stated
	subject []string // must be in the subject
	says    []string // must be in the text
	hides   []string // must not be in the text
}

type expectations []expected

func (e expectations) until(day int) expectations {
	return slices.DeleteFunc(slices.Clone(e), func(x expected) bool { return x.day > day })
}

func expectation() (expectations, error) { return parseExpected(expectedText) }

// parseExpected reads the month. A line is
//
//	DAYS RECEIVER REPORT [! for an urgent one] [rows=USERIDS|N] [on="in the subject"] [says="in the text"] [not="not in the text"]
//
// where the receiver of a message in WeCom is a userid and its report "WeCom", and DAYS are 3, 3-5 or 3,7-9. In texts {date} is the day's date. What stands behind # is for the reader.
func parseExpected(text string) (expectations, error) {
	var all expectations
	for n, line := range strings.Split(text, "\n") {
		words, err := split(line)
		if err == nil && len(words) > 0 {
			var some expectations
			some, err = parseLine(words)
			for i := range some {
				some[i].line = n + 1
			}
			all = append(all, some...)
		}
		if err != nil {
			return nil, fmt.Errorf("expected.txt, line %d: %w", n+1, err)
		}
	}
	slices.SortStableFunc(all, func(a, b expected) int { return a.day - b.day })
	return all, nil
}

// split takes a line apart at its spaces, but for those in quotes; quotes go. A # outside of quotes ends it.
func split(line string) (words []string, err error) {
	var word strings.Builder
	within, begun := false, false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range line {
		switch {
		case r == '"':
			within, begun = !within, true
		case within || r != ' ' && r != '#' && r != '\t':
			word.WriteRune(r)
			begun = true
		case r == '#':
			end()
			return words, nil
		default:
			end()
		}
	}
	if within {
		return nil, fmt.Errorf("a quote is not closed")
	}
	end()
	return words, nil
}

func parseLine(words []string) (expectations, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("days, receiver and report are needed")
	}
	days, err := parseDays(words[0])
	if err != nil {
		return nil, err
	}
	e := expected{to: words[1], report: words[2], count: -1}
	for _, w := range words[3:] {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case w == "!":
			e.urgent = true
		case ok && name == "rows":
			if n, err := strconv.Atoi(value); err == nil {
				e.count = n
				continue
			}
			e.rows = strings.Split(value, ",")
			slices.Sort(e.rows)
		case ok && name == "on":
			e.subject = append(e.subject, value)
		case ok && name == "says":
			e.says = append(e.says, value)
		case ok && name == "not":
			e.hides = append(e.hides, value)
		default:
			return nil, fmt.Errorf("%q is not understood", w)
		}
	}
	var all expectations
	for _, d := range days {
		one := e
		one.day = d
		one.subject, one.says, one.hides = dated(e.subject, d), dated(e.says, d), dated(e.hides, d)
		all = append(all, one)
	}
	return all, nil
}

func dated(texts []string, day int) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strings.ReplaceAll(t, "{date}", noonOf(day).Format("2006-01-02"))
	}
	return out
}

func parseDays(text string) ([]int, error) {
	var days []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("%q is no day", part)
		}
		to, err := strconv.Atoi(last)
		if err != nil || from < 1 || to < from || to > wholeMonth {
			return nil, fmt.Errorf("%q are no days of this month", part)
		}
		for d := from; d <= to; d++ {
			days = append(days, d)
		}
	}
	return days, nil
}

// compare says in what the mails differ from what is expected, day by day; nothing if they don't. A mail answers to one line alone.
func compare(want expectations, got []letter) []string {
	type place struct {
		day        int
		to, report string
	}
	open := map[place][]expected{}
	var order []place
	for _, e := range want {
		p := place{e.day, e.to, e.report}
		if open[p] == nil {
			order = append(order, p)
		}
		open[p] = append(open[p], e)
	}
	come := map[place][]letter{}
	for _, l := range got {
		p := place{l.Day, l.To, l.Report}
		if open[p] == nil && come[p] == nil {
			order = append(order, p)
		}
		come[p] = append(come[p], l)
	}
	slices.SortStableFunc(order, func(a, b place) int { return a.day - b.day })
	var diff []string
	say := func(p place, format string, args ...any) {
		diff = append(diff, fmt.Sprintf("  day %2d  %-26s %-4s ", p.day, p.to, p.report)+fmt.Sprintf(format, args...))
	}
	for _, p := range order {
		waiting, letters := slices.Clone(open[p]), slices.Clone(come[p])
		// Those that match leave first, so that what is left is what differs.
		waiting = slices.DeleteFunc(waiting, func(e expected) bool {
			i := slices.IndexFunc(letters, func(l letter) bool { return len(e.wrong(l)) == 0 })
			if i < 0 {
				return false
			}
			letters = slices.Delete(letters, i, i+1)
			return true
		})
		for i, e := range waiting {
			if i >= len(letters) {
				say(p, "MISSING (expected.txt:%d)", e.line)
				continue
			}
			say(p, "DIFFERS from expected.txt:%d: %s\n%s", e.line, strings.Join(e.wrong(letters[i]), "; "), letters[i].shown())
		}
		for i := len(waiting); i < len(letters); i++ {
			word := "NOT EXPECTED"
			if len(open[p]) > 0 {
				word = "MORE THAN EXPECTED"
			}
			say(p, "%s\n%s", word, letters[i].shown())
		}
	}
	return diff
}

// wrong says in what a mail is not what is expected.
func (e expected) wrong(l letter) []string {
	var w []string
	if e.urgent != l.Urgent {
		w = append(w, fmt.Sprintf("urgent is %v", l.Urgent))
	}
	if l.Attempt != "" {
		w = append(w, "it says that it may be a double")
	}
	if e.rows != nil && !slices.Equal(e.rows, l.Rows) {
		w = append(w, fmt.Sprintf("its rows are %v and not %v", l.Rows, e.rows))
	}
	if e.count >= 0 && e.count != len(l.Rows) {
		w = append(w, fmt.Sprintf("it has %d rows and not %d", len(l.Rows), e.count))
	}
	for _, s := range e.subject {
		if !strings.Contains(l.Subject, s) {
			w = append(w, fmt.Sprintf("the subject has no %q", s))
		}
	}
	text := strings.Join(strings.Fields(l.Text), " ")
	for _, s := range e.says {
		if !strings.Contains(text, strings.Join(strings.Fields(s), " ")) {
			w = append(w, fmt.Sprintf("it does not say %q", s))
		}
	}
	for _, s := range e.hides {
		if strings.Contains(text, s) {
			w = append(w, fmt.Sprintf("it says %q", s))
		}
	}
	return w
}

// shown is a mail in a few lines, for who has to find out.
func (l letter) shown() string {
	s := fmt.Sprintf("          %s  %s", l.At.Format("15:04:05"), l.Subject)
	if l.Rows != nil {
		s += fmt.Sprintf("\n          rows: %s", strings.Join(l.Rows, ","))
	}
	return s
}
