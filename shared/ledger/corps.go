package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Corp is a company and its settings.
type Corp struct {
	ID        archive.CorpID
	Name      string
	ReportTo  []Receiver // who gets R1 and R7
	Simulated bool       // the company is played: every mail and screen says so
	Added     time.Time
}

// Receiver is one address that gets a company's reports.
type Receiver struct {
	Address  string `json:"address"`
	Language string `json:"language"` // "zh" or "en"
}

// PutCorp adds a company, or changes its settings.
func (l *Ledger) PutCorp(ctx context.Context, c Corp) error {
	receivers, err := json.Marshal(c.ReportTo)
	if err != nil {
		return fmt.Errorf("encode the receivers of corp %s: %w", c.ID, err)
	}
	it := key("corps", c.ID.KeyPart())
	it["corp"], it["name"], it["report_to"], it["simulated"], it["added"] = str(string(c.ID)), str(c.Name), str(string(receivers)), boolean(c.Simulated), when(c.Added)
	return l.put(ctx, l.tables.Control, it, "", nil)
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
	c := Corp{ID: archive.CorpID(getStr(it, "corp")), Name: getStr(it, "name"), Simulated: getBool(it, "simulated"), Added: getTime(it, "added")}
	if err := json.Unmarshal([]byte(getStr(it, "report_to")), &c.ReportTo); err != nil {
		return Corp{}, fmt.Errorf("read the receivers of corp %s: %w", c.ID, err)
	}
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
