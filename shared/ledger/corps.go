package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/receivers"
)

// Corp is a company and its settings.
type Corp struct {
	ID        archive.CorpID
	Name      string
	ReportTo  []Receiver // its account admins: urgent R7 always, and at noon what they subscribe to
	Simulated bool       // the company is played: every mail and screen says so
	Added     time.Time
	App       int                // AgentId of the app that writes to members; 0: none. Its secret is in Secrets Manager. SetApp alone writes it
	Settings  receivers.Settings // of its reports; Settings.Rev is that of the row, 0 as long as ChangeCorp never wrote it
}

// Receiver is one account admin.
type Receiver struct {
	Name     string `json:"name,omitempty"`
	Address  string `json:"address"`
	Language string `json:"language"`          // "zh" or "en"
	Reports  string `json:"reports,omitempty"` // at noon: see WithReports; "" is the defaults
}

// Alerted is who is told of alarms at once: the account admins, whatever they subscribe to, and the mailbox for copies.
func (c Corp) Alerted() []Receiver {
	to := slices.Clone(c.ReportTo)
	mailbox := c.Settings.CopyTo()
	if mailbox == "" || slices.ContainsFunc(to, func(t Receiver) bool { return strings.EqualFold(t.Address, mailbox) }) {
		return to
	}
	return append(to, Receiver{Address: mailbox, Language: cmp.Or(c.Settings.Language, "zh")})
}

// PutCorp adds a company, or changes what it has but its app and the settings of its reports: those are SetApp's and ChangeCorp's.
func (l *Ledger) PutCorp(ctx context.Context, c Corp) error {
	expression, names, values, err := corpUpdate(c)
	if err != nil {
		return err
	}
	_, err = l.update(ctx, l.tables.Control, "corps", c.ID.KeyPart(), expression, "", names, values)
	return err
}

// corpUpdate is the expression that writes all of a company but the settings of its reports.
func corpUpdate(c Corp) (expression string, names map[string]string, values item, err error) {
	admins, err := json.Marshal(c.ReportTo)
	if err != nil {
		return "", nil, nil, fmt.Errorf("encode the account admins of corp %s: %w", c.ID, err)
	}
	return "SET corp = :corp, #name = :name, report_to = :report_to, simulated = :simulated, added = :added", map[string]string{"#name": "name"},
		item{":corp": str(string(c.ID)), ":name": str(c.Name), ":report_to": str(string(admins)), ":simulated": boolean(c.Simulated), ":added": when(c.Added)}, nil
}

// SetApp says by which app a company writes to its members. ErrAbsent: there is no such company.
func (l *Ledger) SetApp(ctx context.Context, id archive.CorpID, agent int) error {
	_, err := l.update(ctx, l.tables.Control, "corps", id.KeyPart(), "SET app = :app", "attribute_exists(pk)", nil, item{":app": count(agent)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("set the app of corp %s: %w", id, ErrAbsent)
	}
	return err
}

// Corp reads a company, or returns an error that wraps ErrAbsent.
func (l *Ledger) Corp(ctx context.Context, id archive.CorpID) (Corp, error) {
	it, err := l.get(ctx, l.tables.Control, "corps", id.KeyPart())
	if err != nil {
		return Corp{}, err
	}
	return corpOf(it)
}

// Corps lists all companies.
func (l *Ledger) Corps(ctx context.Context) ([]Corp, error) {
	var corps []Corp
	var bad error
	err := l.each(ctx, l.tables.Control, "corps", bounds{consistent: true}, func(it item) bool {
		c, err := corpOf(it)
		if err != nil {
			bad = err
			return false
		}
		corps = append(corps, c)
		return true
	})
	if err == nil {
		err = bad
	}
	return corps, err
}

func corpOf(it item) (Corp, error) {
	c := Corp{ID: archive.CorpID(getStr(it, "corp")), Name: getStr(it, "name"), Simulated: getBool(it, "simulated"), Added: getTime(it, "added"), App: getCount(it, "app")}
	if err := json.Unmarshal([]byte(getStr(it, "report_to")), &c.ReportTo); err != nil {
		return Corp{}, fmt.Errorf("read the account admins of corp %s: %w", c.ID, err)
	}
	var err error
	if c.Settings, err = receivers.ParseSettings(getStr(it, "settings")); err != nil {
		return Corp{}, fmt.Errorf("corp %s: %w", c.ID, err)
	}
	c.Settings.Rev = getCount(it, "rev")
	return c, nil
}

// KeyRow is a key version that is held. The key itself is in Secrets Manager.
type KeyRow struct {
	Version     archive.KeyVersion
	Fingerprint string // lower-case hex SHA-256 of the public key's DER
	Added       time.Time
	Proven      bool // it has opened an item's random key
}

// PutKey records that a key version is held.
func (l *Ledger) PutKey(ctx context.Context, corp archive.CorpID, k KeyRow) error {
	it := key(corpPK(corp), keySK(k.Version))
	it["key_version"], it["fingerprint"], it["added"], it["proven"] = num(uint64(k.Version)), str(k.Fingerprint), when(k.Added), boolean(k.Proven)
	return l.put(ctx, l.tables.Control, it, "", nil)
}

// ProveKey records that the key of a version has opened an item, and says whether there is a row of it. Again is the same.
func (l *Ledger) ProveKey(ctx context.Context, corp archive.CorpID, v archive.KeyVersion) (bool, error) {
	_, err := l.update(ctx, l.tables.Control, corpPK(corp), keySK(v), "SET proven = :yes", "attribute_exists(pk) AND proven = :no", nil,
		item{":yes": boolean(true), ":no": boolean(false)})
	if row, refused := refusedRow(err); refused {
		return row != nil, nil
	}
	return err == nil, err
}

// Keys lists the key versions that are held, by version.
func (l *Ledger) Keys(ctx context.Context, corp archive.CorpID) ([]KeyRow, error) {
	var keys []KeyRow
	err := l.each(ctx, l.tables.Control, corpPK(corp), bounds{prefix: "key#", consistent: true}, func(it item) bool {
		keys = append(keys, KeyRow{
			Version:     archive.KeyVersion(getNum(it, "key_version")), // #nosec G115 -- written from a KeyVersion
			Fingerprint: getStr(it, "fingerprint"), Added: getTime(it, "added"), Proven: getBool(it, "proven"),
		})
		return true
	})
	return keys, err
}
