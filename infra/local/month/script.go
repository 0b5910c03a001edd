package main

import (
	"context"
	"slices"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// script is what happens in the month, by day, in the order of its times.
func script() map[int][]event {
	return map[int][]event{
		1: {
			{"08:00", "both companies are founded", foundBoth},
			{"08:10", "both are enrolled", enrolBoth},
		},
		2: {
			{"09:00", "Peng joins Trading", join(person("peng", "彭博", trading, "+8613800000013", "peng@harbour.example"), true)},
		},
		3: {
			{"11:30", "Dai is deleted", leave("dai", wecomsim.LeaveDeleted)},
			{"12:30", "Guo gets another number", set("guo", fields{"mobile": "+85291000077"})},
		},
	}
}

type fields = map[string]any

// join lets somebody join Harbour Finance; designated says that an admin of WeCom puts the person on the list of users to archive at once.
func join(m wecomsim.Member, designated bool) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		if _, err := w.sim.ChangeMember(ctx, wecomsim.MemberChange{Corp: harbour, UserID: m.UserID, Join: &m}); err != nil || !designated {
			return err
		}
		return designate(m.UserID)(ctx, w)
	}
}

// designate puts a member on WeCom's list of users to archive.
func designate(id string) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		w.permit[harbour] = append(w.permit[harbour], id)
		return w.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: harbour, Permit: map[int][]string{1: w.permit[harbour]}})
	}
}

// withdraw takes a member from that list.
func withdraw(id string) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		w.permit[harbour] = slices.DeleteFunc(w.permit[harbour], func(s string) bool { return s == id })
		return w.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: harbour, Permit: map[int][]string{1: w.permit[harbour]}})
	}
}

// set changes fields of a member of Harbour Finance.
func set(id string, f fields) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error { return w.member(ctx, harbour, id, f) }
}

// leave lets a member of Harbour Finance go.
func leave(id, how string) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		if _, err := w.sim.ChangeMember(ctx, wecomsim.MemberChange{Corp: harbour, UserID: id, Leave: how}); err != nil {
			return err
		}
		return withdraw(id)(ctx, w)
	}
}
