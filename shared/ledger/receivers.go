package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// receiverPK is the partition of a company's receivers, whose sort keys are their ids: see receivers.RowID and receivers.HeadID.
func receiverPK(c archive.CorpID) string { return "receiver#" + c.KeyPart() }

// Receivers lists the receivers that were entered for a company, by id, and what was edited of its heads of department, of those too who are none any more.
func (l *Ledger) Receivers(ctx context.Context, corp archive.CorpID) (entered []receivers.Row, edits []receivers.Edit, err error) {
	var bad error
	err = l.each(ctx, l.tables.Control, receiverPK(corp), bounds{consistent: true}, func(it item) bool {
		if _, head := receivers.HeadOf(getStr(it, "sk")); head {
			var e receivers.Edit
			if e, bad = receivers.ParseEdit(getStr(it, "receiver"), getCount(it, "rev")); bad == nil {
				edits = append(edits, e)
			}
		} else {
			var row receivers.Row
			if row, bad = receivers.ParseRow(getStr(it, "receiver"), getCount(it, "rev")); bad == nil {
				entered = append(entered, row)
			}
		}
		if bad != nil {
			bad = fmt.Errorf("receiver %s of corp %s: %w", getStr(it, "sk"), corp, bad)
		}
		return bad == nil
	})
	return entered, edits, errors.Join(err, bad)
}

// Company reads everything that decides who gets a company's reports, as it is now, and when its directory was last read; zero: never.
func (l *Ledger) Company(ctx context.Context, c Corp) (receivers.Company, time.Time, error) {
	company := receivers.Company{Admins: c.Admins(), Settings: c.Settings}
	entries, err := l.Leadership(ctx, c.ID)
	if err != nil {
		return company, time.Time{}, err
	}
	if company.Tree, err = directory.NewTree(entries); err != nil {
		return company, time.Time{}, fmt.Errorf("departments of corp %s: %w", c.ID, err)
	}
	if company.Heads, err = directory.Heads(entries); err != nil {
		return company, time.Time{}, fmt.Errorf("heads of department of corp %s: %w", c.ID, err)
	}
	if company.Names, err = directory.DepartmentNames(entries); err != nil {
		return company, time.Time{}, fmt.Errorf("departments of corp %s: %w", c.ID, err)
	}
	if company.Entered, company.Edits, err = l.Receivers(ctx, c.ID); err != nil {
		return company, time.Time{}, err
	}
	synced, err := l.DirectoryRead(ctx, c.ID)
	return company, synced, err
}

// PutReceiver keeps a receiver that was entered: a new one if its Rev is 0, else in the place of the one that has this Rev. It returns the Rev that it has then. ErrLost
// says that somebody has changed or removed it since.
func (l *Ledger) PutReceiver(ctx context.Context, corp archive.CorpID, row receivers.Row) (rev int, err error) {
	text, err := row.Text()
	if err != nil {
		return 0, err
	}
	return l.putReceiver(ctx, corp, row.ID, text, row.Rev)
}

// PutEdit keeps what was edited of a head of department, under PutReceiver's conditions. Empty edits are kept too: their Rev must not be given twice.
func (l *Ledger) PutEdit(ctx context.Context, corp archive.CorpID, e receivers.Edit) (rev int, err error) {
	text, err := e.Text()
	if err != nil {
		return 0, err
	}
	return l.putReceiver(ctx, corp, receivers.HeadID(e.User), text, e.Rev)
}

func (l *Ledger) putReceiver(ctx context.Context, corp archive.CorpID, id, text string, rev int) (int, error) {
	it := key(receiverPK(corp), id)
	it["corp"], it["receiver"], it["rev"] = str(string(corp)), str(text), count(rev+1)
	condition, values := "rev = :rev", item{":rev": count(rev)}
	if rev == 0 {
		condition, values = "attribute_not_exists(pk)", nil
	}
	err := l.put(ctx, l.tables.Control, it, condition, values)
	if row, refused := refusedRow(err); refused {
		if getStr(row, "receiver") == text && getCount(row, "rev") == rev+1 {
			return rev + 1, nil // our own first attempt, whose answer was lost
		}
		return 0, fmt.Errorf("keep receiver %s of corp %s: %w", id, corp, ErrLost)
	}
	if err != nil {
		return 0, err
	}
	return rev + 1, nil
}

// RemoveReceiver takes a receiver away that was entered, if it still has the given Rev. One that is not there is gone already.
func (l *Ledger) RemoveReceiver(ctx context.Context, corp archive.CorpID, id string, rev int) error {
	_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &l.tables.Control, Key: key(receiverPK(corp), id), ConditionExpression: aws.String("attribute_not_exists(pk) OR rev = :rev"),
		ExpressionAttributeValues: item{":rev": count(rev)},
	})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("remove receiver %s of corp %s: %w", id, corp, ErrLost)
	}
	if err != nil {
		return fmt.Errorf("remove receiver %s of corp %s: %w", id, corp, err)
	}
	return nil
}

// ChangeCorp writes a company's name, account admins and settings if its settings still have the Rev that c has, and returns the Rev that they have then. ErrLost
// says that somebody has changed them since; ErrAbsent that there is no such company.
func (l *Ledger) ChangeCorp(ctx context.Context, c Corp) (rev int, err error) {
	settings, err := c.Settings.Text()
	if err != nil {
		return 0, fmt.Errorf("change corp %s: %w", c.ID, err)
	}
	expression, names, values, err := corpUpdate(c)
	if err != nil {
		return 0, err
	}
	rev = c.Settings.Rev + 1
	values[":settings"], values[":next"] = str(settings), count(rev)
	condition := "attribute_exists(pk) AND rev = :rev"
	if c.Settings.Rev == 0 {
		condition = "attribute_exists(pk) AND attribute_not_exists(rev)"
	} else {
		values[":rev"] = count(c.Settings.Rev)
	}
	_, err = l.update(ctx, l.tables.Control, "corps", c.ID.KeyPart(), expression+", settings = :settings, rev = :next", condition, names, values)
	if row, refused := refusedRow(err); refused {
		switch {
		case len(row) == 0:
			return 0, fmt.Errorf("change corp %s: %w", c.ID, ErrAbsent)
		case getCount(row, "rev") == rev && getStr(row, "settings") == settings && getStr(row, "name") == c.Name && getStr(row, "report_to") == getStr(values, ":report_to"):
			return rev, nil // our own first attempt, whose answer was lost
		}
		return 0, fmt.Errorf("change corp %s: %w", c.ID, ErrLost)
	}
	if err != nil {
		return 0, err
	}
	return rev, nil
}

// noReports is how Receiver.Reports says that there are none: "" is what a row says that is older than the field.
const noReports = "none"

// WithReports is an account admin who subscribes to these reports; nil are the defaults.
func (r Receiver) WithReports(kinds []report.Kind) Receiver {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	r.Reports = strings.Join(words, ",")
	if kinds != nil && len(kinds) == 0 {
		r.Reports = noReports
	}
	return r
}

// Admins is a company's account admins as the routing of reports takes them.
func (c Corp) Admins() []receivers.AdminRow {
	admins := make([]receivers.AdminRow, 0, len(c.ReportTo))
	for _, r := range c.ReportTo {
		a := receivers.AdminRow{Name: r.Name, Address: r.Address, Language: r.Language}
		switch r.Reports {
		case "":
		case noReports:
			a.Reports = []report.Kind{}
		default:
			for word := range strings.SplitSeq(r.Reports, ",") {
				a.Reports = append(a.Reports, report.Kind(word))
			}
		}
		admins = append(admins, a)
	}
	return admins
}
