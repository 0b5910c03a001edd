package ledger

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/derived"
)

// Lacking returns what follows from a batch's messages and has rows missing: messages of which any row is (their own, a participant list, a person,
// a room, a robot, a recall, who talks alone), findings, and what is said of consent. people remembers what was seen to be there; it must be of this look alone.
func (l *Ledger) Lacking(ctx context.Context, b BatchRow, rows derived.Rows, people *People) (derived.Rows, error) {
	asked := map[string]item{}
	ask := func(pk, sk string) string {
		k := pk + "\x00" + sk
		if asked[k] == nil && !people.knows(k) {
			asked[k] = key(pk, sk)
		}
		return k
	}
	of := make([][]string, len(rows.Messages))
	for i := range rows.Messages {
		m := &rows.Messages[i]
		add := func(pk, sk string) { of[i] = append(of[i], ask(pk, sk)) }
		peopleOf(m, func(pk, sk string, _ []string) { add(pk, sk) })
		own := messageRow(b.Key(), m)
		add(getStr(own, "pk"), getStr(own, "sk"))
		if m.RecallOf != "" {
			recall := recallRow(b.Key(), m)
			add(getStr(recall, "pk"), getStr(recall, "sk"))
		}
	}
	found := make([]string, len(rows.Findings))
	for i, f := range rows.Findings {
		row := findingRow(b.Corp, f)
		found[i] = ask(getStr(row, "pk"), getStr(row, "sk"))
	}
	said := make([]string, len(rows.Consents))
	for i, c := range rows.Consents {
		if keepable(c.Subject) {
			row := choiceRow(b.Corp, c)
			said[i] = ask(getStr(row, "pk"), getStr(row, "sk"))
		}
	}
	there, err := l.fetch(ctx, l.tables.Messages, slices.Collect(maps.Values(asked)))
	if err != nil {
		return derived.Rows{}, err
	}
	var shared []string // a message's own row is asked for once
	for _, it := range there {
		k := place(it)
		delete(asked, k)
		if !strings.HasPrefix(k, "msg#") {
			shared = append(shared, k)
		}
	}
	people.learn(shared)
	var lacking derived.Rows
	for i, keys := range of {
		if slices.ContainsFunc(keys, func(k string) bool { return asked[k] != nil }) {
			lacking.Messages = append(lacking.Messages, rows.Messages[i])
		}
	}
	for i, k := range found {
		if asked[k] != nil {
			lacking.Findings = append(lacking.Findings, rows.Findings[i])
		}
	}
	for i, k := range said {
		if asked[k] != nil {
			lacking.Consents = append(lacking.Consents, rows.Consents[i])
		}
	}
	return lacking, nil
}
