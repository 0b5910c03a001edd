// Package company makes a company of any size in the simulated WeCom and lets it talk, for measurements that need numbers and no story: the same
// seed gives the same members, rooms and words. It must not know what is measured, and everything in it is invented.
package company

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// Options say what company to make. Corp is required.
type Options struct {
	Corp      string
	Members   int // archived users; 0 is 100
	Externals int // customers that each member follows
	PageItems int // the most items in one answer of chat data; 0 is WeCom's own limit
	Seed      uint64
}

// Company is one company of the simulated WeCom. It is not safe for concurrent use.
type Company struct {
	Options
	sim    *wecomsim.Client
	random *rand.Rand
	places []place
	spoken int
}

// place is a conversation and its parties; room is "" where two talk directly.
type place struct {
	room    string
	parties []string
	weight  int
}

// New makes the company's corp, members, customers and rooms in the simulator.
func New(ctx context.Context, sim *wecomsim.Client, o Options) (*Company, error) {
	if o.Members <= 0 {
		o.Members = 100
	}
	c := &Company{Options: o, sim: sim, random: rand.New(rand.NewPCG(o.Seed, uint64(o.Members)))} // #nosec G404 -- a repeatable company, no secret
	if _, err := sim.AddCorp(ctx, wecomsim.NewCorp{Corp: o.Corp, Name: "Company " + o.Corp, PageItems: o.PageItems}); err != nil {
		return nil, err
	}
	change := wecomsim.ChangeContacts{Corp: o.Corp, Departments: []wecomsim.Department{{ID: 1, Name: "Everybody"}}, Permit: map[int][]string{}}
	for i := range o.Members {
		id := member(i)
		change.Members = append(change.Members, wecomsim.Member{
			UserID: id, Name: fmt.Sprintf("Member %d", i), Department: []int{1}, Mobile: fmt.Sprintf("+85290%06d", i), Email: id + "@company.example", MainDepartment: 1,
		})
		change.Permit[1] = append(change.Permit[1], id)
		for n := range o.Externals {
			change.Externals = append(change.Externals, wecomsim.External{
				ID: customer(i*o.Externals + n), Name: fmt.Sprintf("Customer %d", i*o.Externals+n), Type: 1, FollowUsers: []wecomsim.Follow{{UserID: id, CreateTime: 1700000000}},
			})
		}
	}
	c.lay(&change)
	if err := sim.ChangeContacts(ctx, change); err != nil {
		return nil, err
	}
	return c, nil
}

func member(i int) string   { return fmt.Sprintf("member.%05d", i) }
func customer(i int) string { return fmt.Sprintf("wmCUSTOMER%022d", i) }
func room(i int) string     { return fmt.Sprintf("wrROOM%026d", i) }

// sizes are how large conversations are and how much of the talk each size has, in hundredths: most of it is between two and a few, and what is
// said in a room of 200 carries 200 names.
var sizes = []struct{ parties, weight int }{{2, 46}, {3, 14}, {5, 12}, {8, 9}, {12, 7}, {20, 5}, {40, 4}, {90, 2}, {200, 1}}

// lay makes conversations of all sizes: a member has about three of them.
func (c *Company) lay(change *wecomsim.ChangeContacts) {
	n := 0
	for _, s := range sizes {
		copies := max(1, c.Members*3*s.weight/100/s.parties)
		for range copies {
			var p place
			for _, m := range c.random.Perm(c.Members)[:min(c.Members, (s.parties+1)/2)] {
				p.parties = append(p.parties, member(m))
			}
			for i := 0; len(p.parties) < s.parties; i++ {
				p.parties = append(p.parties, customer(n*200+i))
			}
			if s.parties > 2 {
				p.room = room(n)
				change.Rooms = append(change.Rooms, wecomsim.Room{ID: p.room, Kind: wecomsim.RoomExternal, Name: fmt.Sprintf("Room %d", n), Owner: p.parties[0], Members: p.parties, CreateTime: 1700000000})
			}
			p.weight = max(1, 1000*s.weight/copies)
			c.places = append(c.places, p)
			n++
		}
	}
}

// words are what a text is made of.
var words = strings.Fields(`今天 的 晨会 改到 九点 请 把 昨晚 外盘 要点 发 一下 收到 客户 说 下周 再 定 合同 已经 盖章 扫描件 在 邮箱 里 麻烦 核对 金额 和 日期 谢谢 好的 没有 问题 我 先 处理
	please confirm the figure before noon settlement is booked thanks will do see attached draft call me back tomorrow morning invoice number 4417 approved pending review`)

// Talk makes the next n messages of the company, spread evenly over the time from..from+over.
func (c *Company) Talk(n int, from time.Time, over time.Duration) []wecomsim.Message {
	total := 0
	for _, p := range c.places {
		total += p.weight
	}
	list := make([]wecomsim.Message, n)
	for i := range list {
		at := c.random.IntN(total)
		p := c.places[0]
		for _, q := range c.places {
			if p = q; at < q.weight {
				break
			}
			at -= q.weight
		}
		var text strings.Builder
		for range 4 + c.random.IntN(120) { // a decrypted message of about 1,000 bytes, names and envelope included
			text.WriteString(words[c.random.IntN(len(words))])
			text.WriteByte(' ')
		}
		c.spoken++
		speaker := c.random.IntN(len(p.parties))
		to := make([]string, 0, len(p.parties)-1)
		for j, id := range p.parties {
			if j != speaker {
				to = append(to, id)
			}
		}
		list[i] = wecomsim.Message{
			From: p.parties[speaker], To: to, Room: p.room, Text: text.String() + strconv.Itoa(c.spoken),
			Time: from.Add(over * time.Duration(i) / time.Duration(n)).UnixMilli(),
		}
	}
	return list
}

// atOnce is how many messages go to the simulator in one request.
const atOnce = 500

// Send sends messages in order.
func (c *Company) Send(ctx context.Context, messages []wecomsim.Message) error {
	for len(messages) > 0 {
		n := min(len(messages), atOnce)
		if _, err := c.sim.SendAll(ctx, wecomsim.Messages{Corp: c.Corp, Messages: messages[:n]}); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// Enrol adds the company to the archive by the operator's command, with its secrets and all its keys.
func (c *Company) Enrol(ctx context.Context, h *house.House, receivers string) error {
	shown, err := c.shown(ctx)
	if err != nil {
		return err
	}
	args := []string{"corps", "add", "-corp", c.Corp, "-name", shown.Name, "-simulated", "-report-to", receivers}
	var files []string
	defer func() {
		for _, f := range files {
			_ = os.Remove(f) // the folder goes with the run
		}
	}()
	for _, s := range []struct{ flag, kind string }{{"-secret-file", wecomsim.KindArchive}, {"-contacts-secret-file", wecomsim.KindLegacyApp}, {"-customer-secret-file", wecomsim.KindCustomer}} {
		path, err := private(h.Data, shown.Secret(s.kind))
		if err != nil {
			return err
		}
		files, args = append(files, path), append(args, s.flag, path)
	}
	if err := operate(ctx, h, args...); err != nil {
		return err
	}
	for _, k := range shown.Keys {
		if err := c.HoldKey(ctx, h, k); err != nil {
			return err
		}
	}
	return nil
}

// HoldKey gives the archive a private key by the operator's command.
func (c *Company) HoldKey(ctx context.Context, h *house.House, k wecomsim.Key) error {
	path, err := private(h.Data, k.Private)
	if err != nil {
		return err
	}
	return errors.Join(operate(ctx, h, "keys", "add", "-corp", c.Corp, "-ver", strconv.FormatUint(uint64(k.Version), 10), "-file", path), os.Remove(path))
}

func (c *Company) shown(ctx context.Context) (wecomsim.Corp, error) {
	corps, err := c.sim.Corps(ctx)
	if err != nil {
		return wecomsim.Corp{}, err
	}
	for _, one := range corps {
		if one.Corp == c.Corp {
			return one, nil
		}
	}
	return wecomsim.Corp{}, fmt.Errorf("the simulator has no corp %s", c.Corp)
}

// private writes a secret to a file that only the user can read.
func private(dir, value string) (path string, err error) {
	f, err := os.CreateTemp(dir, "secret-*")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(value)
	return f.Name(), errors.Join(err, f.Close())
}

func operate(ctx context.Context, h *house.House, args ...string) error {
	code, said, err := h.Operate(ctx, args...)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("vaultctl %s %s: %s", args[0], args[1], said)
	}
	return nil
}
