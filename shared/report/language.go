package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Language is a language that reports are written in, as a BCP 47 tag. It is the value of the pages' lang attribute.
type Language string

// The languages that exist. Every text is written in both, side by side, so that none can be forgotten in one of them.
const (
	English Language = "en"
	Chinese Language = "zh-Hans"
)

// Languages lists the languages that reports are written in.
func Languages() []Language { return []Language{Chinese, English} }

// ParseLanguage reads a language tag: en or zh, with or without a region or script that means simplified Chinese.
func ParseLanguage(s string) (Language, error) {
	switch strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), "_", "-")) {
	case "en", "en-us", "en-gb":
		return English, nil
	case "zh", "zh-cn", "zh-sg", "zh-hans", "zh-hans-cn":
		return Chinese, nil
	default:
		return "", fmt.Errorf("reports are written in en or zh, not in that language")
	}
}

// say picks one of the two wordings. Anything that is not Chinese reads English.
func (l Language) say(en, zh string) string {
	if l == Chinese {
		return zh
	}
	return en
}

// sayf is say for wordings with values; the Chinese one may name its arguments by index.
func (l Language) sayf(en, zh string, args ...any) string { return fmt.Sprintf(l.say(en, zh), args...) }

// join lists words as the language does.
func (l Language) join(words []string) string { return strings.Join(words, l.say(", ", "、")) }

// plural picks the English form for n.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// at writes a time in UTC and, if the view has another zone, there too; a zero time is unknown.
func (v View) at(t time.Time) string {
	if t.IsZero() {
		return v.Language.say("unknown", "未知")
	}
	u := t.UTC()
	s := u.Format("2006-01-02 15:04") + " UTC"
	if local := v.local(t); local != "" {
		s += " (" + local + ")" // the same in Chinese: the full-width brackets would stand beside the spaces that Latin words have around them
	}
	return s
}

// local is the time in the view's zone, with the date only where it differs from UTC's; "" if the zone is UTC.
func (v View) local(t time.Time) string {
	if v.Zone == nil {
		return ""
	}
	lt := t.In(v.Zone)
	_, offset := lt.Zone()
	if offset == 0 {
		return ""
	}
	layout := "15:04"
	if lt.Format("2006-01-02") != t.UTC().Format("2006-01-02") {
		layout = "2006-01-02 15:04"
	}
	return lt.Format(layout) + " UTC" + lt.Format("-07:00")
}

// clean makes text that others wrote safe to stand in a line: control characters, line breaks and the marks that turn the reading
// direction of what follows are taken out, and runs of spaces become one. Invalid UTF-8 becomes U+FFFD.
func clean(s string) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			space = b.Len() > 0
			continue
		case unicode.Is(unicode.Bidi_Control, r), r == '\ufeff', r == '\u200b', r == '\u2060', r >= 0xE0000 && r <= 0xE007F:
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// clip is clean, cut to at most n runes.
func clip(s string, n int) string {
	s = clean(s)
	count := 0
	for i := range s {
		if count == n-1 && len([]rune(s[i:])) > 1 {
			return s[:i] + "…"
		}
		count++
	}
	return s
}
