package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Preview is what a report of a corp would tell if it were noon at the moment that somebody asks. It is no run: no mail comes of it, and no report after it
// builds on it. There is one of each report at a time.
type Preview struct {
	Corp   archive.CorpID
	Report string    // R1, R2 …
	ID     string    // names this one among those that were asked for
	Asked  time.Time // the moment that it tells of
	Parts  int       // as of a run
	// Announced is that report's job was put in the queue. Who died before that leaves it false.
	Announced bool
	Object    string    // where its facts are kept; "" until they are
	Version   string    // version id of the object
	Made      time.Time // when they were; zero: not yet, or by an earlier version of this program
}

// Preview reads the preview of a report that was asked for last, or returns an error that wraps ErrAbsent.
func (l *Ledger) Preview(ctx context.Context, corp archive.CorpID, report string) (Preview, error) {
	it, err := l.get(ctx, l.tables.Control, previewPK(corp), report)
	if err != nil {
		return Preview{}, err
	}
	return Preview{Corp: archive.CorpID(getStr(it, "corp")), Report: getStr(it, "report"), ID: getStr(it, "id"), Asked: getTime(it, "asked"), Parts: getCount(it, "parts"),
		Object: getStr(it, "object"), Version: getStr(it, "version"), Made: getTime(it, "made"), Announced: getStr(it, "announced") != ""}, nil
}

// AskPreview puts a preview that is to be made in the place of the one with the id over, "" if there was none. ErrLost says that somebody else has asked since.
func (l *Ledger) AskPreview(ctx context.Context, p Preview, over string) error {
	it := key(previewPK(p.Corp), p.Report)
	it["corp"], it["report"], it["id"], it["asked"] = str(string(p.Corp)), str(p.Report), str(p.ID), when(p.Asked)
	condition, values := "id = :over OR id = :id", item{":over": str(over), ":id": str(p.ID)} // the second of them: our own first attempt, whose answer was lost
	if over == "" {
		condition, values = "attribute_not_exists(pk) OR id = :id", item{":id": str(p.ID)}
	}
	err := l.put(ctx, l.tables.Control, it, condition, values)
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("ask for a preview of report %s of corp %s: %w", p.Report, p.Corp, ErrLost)
	}
	return err
}

// AnnouncePreview notes that the job of a preview was put in the queue. One in whose place another was asked for is left alone.
func (l *Ledger) AnnouncePreview(ctx context.Context, p Preview) error {
	_, err := l.update(ctx, l.tables.Control, previewPK(p.Corp), p.Report, "SET announced = :yes", "id = :id", nil, item{":yes": str("yes"), ":id": str(p.ID)})
	if _, refused := refusedRow(err); refused || err == nil {
		return nil
	}
	return fmt.Errorf("announce a preview of report %s of corp %s: %w", p.Report, p.Corp, err)
}

// KeepPreview notes what a preview has come to, its Object, Version, Made and Parts. ErrLost says that another was asked for since.
func (l *Ledger) KeepPreview(ctx context.Context, p Preview) error {
	_, err := l.update(ctx, l.tables.Control, previewPK(p.Corp), p.Report, "SET #object = :object, version = :version, parts = :parts, made = :made", "id = :id", map[string]string{"#object": "object"},
		item{":object": str(p.Object), ":version": str(p.Version), ":parts": count(p.Parts), ":made": when(p.Made), ":id": str(p.ID)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("keep a preview of report %s of corp %s: %w", p.Report, p.Corp, ErrLost)
	}
	return err
}

// ForgetPreview takes back that a preview was asked for. Another that was asked for since stays.
func (l *Ledger) ForgetPreview(ctx context.Context, p Preview) error {
	_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &l.tables.Control, Key: key(previewPK(p.Corp), p.Report),
		ConditionExpression: aws.String("attribute_not_exists(pk) OR id = :id"), ExpressionAttributeValues: item{":id": str(p.ID)}})
	if _, refused := refusedRow(err); refused || err == nil {
		return nil
	}
	return fmt.Errorf("forget a preview of report %s of corp %s: %w", p.Report, p.Corp, err)
}
