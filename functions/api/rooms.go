package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
)

// roomNameAnswer is what a room is called.
type roomNameAnswer struct {
	Room    archive.RoomID  `json:"room"`
	Name    string          `json:"name"`         // the one that reports show; "": they show the id
	From    string          `json:"from"`         // "wecom", "entered", or "none"
	WeCom   string          `json:"wecom_name"`   // "": WeCom shows none
	Entered string          `json:"entered_name"` // "": none holds
	By      string          `json:"by,omitempty"` // who entered it, or took it away
	At      string          `json:"at,omitempty"` // when
	History []enteredAnswer `json:"history"`      // all that was entered or taken away, the oldest first
}

// enteredAnswer is one name that was entered; "" for one that was taken away.
type enteredAnswer struct {
	Name string `json:"name"`
	By   string `json:"by"`
	At   string `json:"at"`
}

// roomNames is a room's name as WeCom shows it, and all that was entered.
func (a *api) roomNames(ctx context.Context, c *call) (out roomNameAnswer, last ledger.RoomName, err error) {
	room := archive.RoomID(c.segment["room"])
	out = roomNameAnswer{Room: room, From: "none", History: []enteredAnswer{}}
	var seen bool
	if out.WeCom, seen, err = a.ledger.SeenRoom(ctx, c.corp.ID, room); err != nil {
		return out, last, err
	}
	if !seen {
		return out, last, absent("room")
	}
	all, err := a.ledger.RoomNameHistory(ctx, c.corp.ID, room)
	for _, n := range all {
		last = n
		out.History = append(out.History, enteredAnswer{n.Name, n.By, rfc3339(n.At)})
		out.Entered, out.By, out.At = n.Name, n.By, rfc3339(n.At)
	}
	switch {
	case out.WeCom != "":
		out.Name, out.From = out.WeCom, "wecom"
	case out.Entered != "":
		out.Name, out.From = out.Entered, "entered"
	}
	return out, last, err
}

func (a *api) getRoomName(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	out, last, err := a.roomNames(ctx, c)
	return answer{status: http.StatusOK, body: out, etag: etag(last.Rev)}, err
}

// nameRoom enters a name for a room. Reports show it where WeCom shows none.
func (a *api) nameRoom(ctx context.Context, c *call) (answer, error) {
	var body struct {
		Name *string `json:"name"`
	}
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	rev, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	name, err := receivers.CheckName(value(body.Name))
	if err != nil {
		return answer{}, invalid(err)
	}
	if err := a.enterRoomName(ctx, c, rev, name); err != nil {
		return answer{}, err
	}
	return a.getRoomName(ctx, c)
}

// unnameRoom takes an entered name away. What was entered is kept in the history.
func (a *api) unnameRoom(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	rev, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, a.enterRoomName(ctx, c, rev, "")
}

func (a *api) enterRoomName(ctx context.Context, c *call, rev int, name string) error {
	_, last, err := a.roomNames(ctx, c)
	if err != nil {
		return err
	}
	if last.Rev != rev {
		return outdated()
	}
	if name == "" && last.Name == "" {
		return absent("name of this room that was entered")
	}
	_, err = a.ledger.NameRoom(ctx, ledger.RoomName{Corp: c.corp.ID, Room: archive.RoomID(c.segment["room"]), Name: name, By: "api:" + clip(c.person.Subject), At: a.now(), Rev: rev})
	if errors.Is(err, ledger.ErrLost) {
		return outdated()
	}
	return err
}
