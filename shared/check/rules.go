package check

import (
	"slices"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Rules is the built-in set that Version names.
func Rules() []Rule {
	return []Rule{
		{"unknown-type", "The message is of a type that this version can't read; its bytes are kept.", Warning, unknownType},
		{"unknown-action", "The message says that something was done to it that this version doesn't know; its bytes are kept.", Warning, unknownAction},
		{"no-time", "The message carries no time.", Notice, func(m archive.Message) bool { return m.Time.IsZero() }},
		{"no-sender", "The message doesn't say who sent it.", Notice, func(m archive.Message) bool { return m.From == "" }},
		{"recall-of-nothing", "A message was taken back, but not which.", Warning, recallOfNothing},
		{"disagreed", "A contact declined archiving: from then on nothing of the conversation is handed out.", Notice, disagreed},
		{"switch", "A member changed to another company in the client: what is said there is not archived here.", Notice, switched},
	}
}

func unknownType(m archive.Message) bool { return !m.Known }

func unknownAction(m archive.Message) bool {
	return m.Action != archive.Send && m.Action != archive.Recall && m.Action != archive.Switch
}

func recallOfNothing(m archive.Message) bool { return m.Action == archive.Recall && m.RecallOf == "" }

func disagreed(m archive.Message) bool {
	return slices.ContainsFunc(m.Consents, func(c archive.Consent) bool { return !c.Agree })
}

func switched(m archive.Message) bool { return m.Action == archive.Switch }
