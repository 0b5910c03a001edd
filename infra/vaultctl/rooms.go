package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
)

const roomsUsage = "rooms name -corp ID -room ROOMID [-name NAME | -remove] [-rev N] | names -corp ID: names for groups whose name WeCom does not show, such as those made in WeChat. " +
	"Reports mark them as entered; WeCom's own name goes before them wherever there is one. Without -name or -remove it shows the room's name and what was ever entered; " +
	"-rev N changes only what it shows with that rev"

func rooms(ctx context.Context, p *program, args []string) error {
	return within(ctx, p, "rooms", args, command{name: "name", run: roomsName}, command{name: "names", run: roomsNames})
}

// enteredPublic is a name that was entered; "" for one that was taken away.
type enteredPublic struct {
	Name string `json:"name"`
	By   string `json:"by"`
	At   string `json:"at"`
}

// roomPublic is what a room is called.
type roomPublic struct {
	Room    archive.RoomID  `json:"room"`
	Name    string          `json:"name"` // the one that reports show; "": they show the id
	WeCom   string          `json:"wecom_name"`
	Entered string          `json:"entered_name"`
	History []enteredPublic `json:"history"`
	Rev     int             `json:"rev"`
}

func roomsName(ctx context.Context, p *program, args []string) error {
	f := flags("rooms name")
	room, name, remove, rev := f.String("room", "", ""), f.String("name", "", ""), f.Bool("remove", false, ""), f.Int("rev", anyRev, "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	enters := given(f)["name"]
	if *room == "" || enters && *remove {
		return &usageError{"rooms name: -room ROOMID is needed, and -name NAME or -remove, not both"}
	}
	shown, err := p.room(ctx, c.ID, archive.RoomID(*room))
	if err != nil {
		return err
	}
	if enters || *remove {
		if *rev != anyRev && *rev != shown.Rev {
			return changedMeanwhile(fmt.Errorf("room %s has rev %d: %w", *room, shown.Rev, ledger.ErrLost), "room "+*room, "rooms name")
		}
		if enters {
			if *name, err = routing.CheckName(*name); err != nil {
				return err
			}
		} else if shown.Entered == "" {
			return fmt.Errorf("no name is entered for room %s", *room)
		}
		if err := p.audit(ctx, "rooms name", c.ID, "room "+*room); err != nil {
			return err
		}
		n := ledger.RoomName{Corp: c.ID, Room: archive.RoomID(*room), Name: *name, By: p.actor, At: clock.Now(), Rev: shown.Rev}
		if _, err := p.ledger.NameRoom(ctx, n); err != nil {
			return changedMeanwhile(err, "room "+*room, "rooms name")
		}
		if shown, err = p.room(ctx, c.ID, n.Room); err != nil {
			return err
		}
	} else if err := p.audit(ctx, "rooms name", c.ID, "room "+*room); err != nil {
		return err
	}
	return json.NewEncoder(p.out).Encode(shown)
}

func (p *program) room(ctx context.Context, corp archive.CorpID, room archive.RoomID) (roomPublic, error) {
	out := roomPublic{Room: room, History: []enteredPublic{}}
	wecom, seen, err := p.ledger.SeenRoom(ctx, corp, room)
	if err != nil {
		return out, err
	}
	if !seen {
		return out, fmt.Errorf("neither WeCom nor a message ever named a room %q: the group reports (R6) and vaultctl messages have their ids", room)
	}
	out.Name, out.WeCom = wecom, wecom
	all, err := p.ledger.RoomNameHistory(ctx, corp, room)
	for _, n := range all {
		out.Entered, out.Rev = n.Name, n.Rev
		out.History = append(out.History, enteredPublic{n.Name, n.By, rfc3339(n.At)})
	}
	if out.Name == "" {
		out.Name = out.Entered
	}
	return out, err
}

// roomsNames lists the rooms for which a name holds that was entered.
func roomsNames(ctx context.Context, p *program, args []string) error {
	c, err := p.ofCorp(ctx, flags("rooms names"), args)
	if err != nil {
		return err
	}
	if err := p.audit(ctx, "rooms names", c.ID, "rooms"); err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	var unwritten error
	err = p.ledger.RoomNames(ctx, c.ID, func(n ledger.RoomName) bool {
		if n.Name != "" {
			unwritten = enc.Encode(struct {
				Room archive.RoomID `json:"room"`
				enteredPublic
				Rev int `json:"rev"`
			}{n.Room, enteredPublic{n.Name, n.By, rfc3339(n.At)}, n.Rev})
		}
		return unwritten == nil
	})
	return firstOf(err, unwritten)
}
