package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// state is what a run has led to, item by item: rows, objects, mails, jobs that are left. Values are text that is equal when the items are.
type state struct {
	Items   map[string]string
	Doubles []string // mails that went out twice, each marked in its header and counted in its row
	Notes   notes
}

// exception is what must differ between two runs, and why.
type exception struct {
	rows  string // what the key "<table> <pk> <sk>" begins with
	names string // attributes, separated by blanks; "" is the whole row
	why   string
}

// exceptions is the whole list: what is not here is compared.
var exceptions = []exception{
	{"ControlTable corps", "added", "the moment at which the operator added the corp"},
	{"ControlTable corps", "rev", "how often it was written: a command of the operator's that was broken off is given again"},
	{"ControlTable corp#", "owner fence wanted beat", "who holds the lease, and how often it changed hands"},
	{"ControlTable corp#", "caught_up empties last_whole trouble", "the last poll, which goes on for ever"},
	{"ControlTable corp#", "added proven", "the moment at which a key was added and first opened something"},
	{"ControlTable batch#", "pulled caught_up announced announcements failure slot", "moments, and how often the work was begun and announced"},
	{"ControlTable watch#", "", "how far a look came: nothing is lost if the next one begins earlier"},
	{"ControlTable waiting#", "announced announcements", "how often it was announced"},
	{"ControlTable media#", "at", "the moment at which it came in"},
	{"ControlTable lost#", "at", "the moment at which it was found lost"},
	{"ControlTable settled#", "", "an index of media# by moments; media# itself is compared"},
	{"ControlTable run#", "owner until done_at parts", "who made the report, when, and in how many goes"},
	{"ControlTable mail#", "owner until ses_id at attempt fate_at", "who sent the mail, when, and how often; doubles are counted of what SES took"},
	{"ControlTable mail#", "nudges nudged nudged_owner", "how often its job was looked for because it had not gone out"},
	{"ControlTable telling#", "owner until attempt asked doubles msgid at nudges nudged nudged_owner", "who sent the message in WeCom, when, and how often; doubles are counted of what members see"},
	{"ControlTable preview#", "", "a preview is asked for as often as it takes, and nobody reads it later"},
	{"ControlTable repeat#", "at", "when the API was first asked"},
	{"ControlTable hrfile#", "at", "the moment at which it was put into force"},
	{"ControlTable suppressed#", "since lifted", "moments"},
	{"ControlTable breach#", "since seen over affected told told_to", "moments; and who was told by which mail: that each receiver was is seen in the mails"},
	{"ControlTable asks#", "", "how often the API was asked: more often, where it did not answer"},
	{"ControlTable heard#", "mail fate_at", "which mail SES last spoke of"},
	{"ControlTable alarm#", "", "alarms tell of the faults themselves; what they leave open shows in the other rows"},
	{"MessagesTable aside#", "since clock", "the moment at which it was first set aside, and how long WeCom had then been out of reach"},
	{"DirectoryTable dir#", "at", "the moment at which it was read"},
	{"DirectoryTable heads#", "at", "the moment at which it was read"},
	{"DirectoryTable hist#", "at", "the moment at which it was read"},
	{"DirectoryTable dir#", "marks writer rev restless", "what it was last seen as by which reading, and how often it was written"},
	{"DirectoryTable life#", "", "what each reading saw, and when WeCom told: what follows from all of it is compared as lives"},
	{"DirectoryTable event#", "after by told recorded", "between which readings it happened, and when WeCom told of it"},
	{"DirectoryTable consent#", "asked answered why", "the moment at which WeCom was asked"},
	{"DirectoryTable consentnow#", "changes drop owed heard answer asked answered why unread rev", "the moments of asking, and what is not done yet: what is so is in the states and changes"},
	{"DirectoryTable consentchange#", "after by read found at", "between which readings it happened"},
	{"DirectoryTable consentlate#", "", "which changes were found so near noon, or so long before they could be written, that a report may have missed them"},
	{"DirectoryTable consentround#", "", "one for each round of asking, however often a fault has it repeated"},
	{"DirectoryTable snap#", "", "one for each reading, however often a fault has it repeated"},
	{"DirectoryTable latest#", "", "which of these was recorded last, and how many there were"},
	{"AuditTable ", "", "who asked for what, as often as it was tried: that it is there before the API answers is seen at each answer"},
}

// alertRow is a run or a mail of an alert, whose day is a moment. Alerts tell of the faults themselves, or of more at once where a fault kept an earlier one
// back, so that runs differ in them; that each mail went out once is seen in the mails, and so is who was alerted about groups.
var alertRow = regexp.MustCompile(`^ControlTable (run|mail)#[^ ]* ([^ ]*#R7|[0-9-]{10}-[0-9a-f]{12}#)`)

// telling are attributes that have moments within them, by the rows whose they are: when a receiver was entered, and when somebody lost a number.
var telling = map[string][]string{"receiver": {"ControlTable receiver"}, "text": {"ControlTable telling"}, "answer": {"ControlTable repeat"}}

// momentary keys have moments in their sort key, which are left out.
var (
	momentary = regexp.MustCompile(`^DirectoryTable (hist|life|event|consent|consentchange)#|^ControlTable settled#`)
	aMoment   = regexp.MustCompile(`\b[0-9]{13}\b`)
	// repeated rows say the same again where it could not be noted that it was said: an answer of WeCom's.
	repeated = regexp.MustCompile(`^DirectoryTable consent#`)
)

func (p *player) writeState(ctx context.Context) error {
	s := state{Items: map[string]string{}}
	for _, name := range []string{"ControlTable", "MessagesTable", "DirectoryTable"} {
		if err := p.tableState(ctx, name, s.Items); err != nil {
			return err
		}
	}
	for _, name := range []string{"ArchiveBucket", "ReportsBucket"} {
		if err := p.bucketState(ctx, name, s.Items); err != nil {
			return err
		}
	}
	if err := errors.Join(p.livesState(ctx, s.Items), p.consentState(ctx, s.Items)); err != nil {
		return err
	}
	var err error
	if s.Doubles, err = p.mailState(ctx, s.Items); err != nil {
		return err
	}
	again, err := p.writtenState(ctx, s.Items)
	if err != nil {
		return err
	}
	s.Doubles = append(s.Doubles, again...)
	s.Notes = p.notes
	s.Items["fsck mended"] = fmt.Sprint(p.notes.Mended)
	jobs, dead := p.Queued()
	s.Items["queues jobs"], s.Items["queues dead letters"] = fmt.Sprint(jobs), fmt.Sprint(dead)
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	file := filepath.Join(p.run.Data, stateFile)
	if err := errors.Join(os.WriteFile(file+".new", b, 0o600), os.Rename(file+".new", file)); err != nil {
		return fmt.Errorf("write the end state: %w", err)
	}
	return nil
}

func readState(dir string) (s state, err error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile)) // #nosec G304 -- of a run
	if err != nil {
		return s, fmt.Errorf("read an end state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read an end state: %w", err)
	}
	return s, nil
}

func (p *player) tableState(ctx context.Context, name string, items map[string]string) error {
	client := dynamodb.NewFromConfig(p.Config(operator))
	table := p.House.Template.Outputs[name]
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		for _, it := range page.Items {
			fields := map[string]string{}
			for n, v := range it {
				fields[n] = text(v)
			}
			key, value, keep := normalRow(name, fields)
			if keep {
				for items[key] != "" && !(items[key] == value && repeated.MatchString(key)) { // a key without its moment may come twice
					key += " again"
				}
				items[key] = value
			}
		}
	}
	return nil
}

// normalRow is a row without what must differ. keep is false if nothing of it is compared.
func normalRow(table string, fields map[string]string) (key, value string, keep bool) {
	key = table + " " + fields["pk"] + " " + fields["sk"]
	if alertRow.MatchString(key) {
		return "", "", false
	}
	without := map[string]bool{"pk": true, "sk": true}
	for _, e := range exceptions {
		if !strings.HasPrefix(key, e.rows) {
			continue
		}
		if e.names == "" {
			return "", "", false
		}
		for _, n := range strings.Fields(e.names) {
			without[n] = true
		}
	}
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(fields)) {
		switch {
		case without[n]:
		case n == "version" && fields[n] != "": // S3 makes up the ids of versions: that there is one is compared
			parts = append(parts, "version=named")
		case slices.Contains(telling[n], strings.SplitN(key, "#", 2)[0]):
			parts = append(parts, n+"="+string(withoutMoments([]byte(fields[n]))))
		default:
			parts = append(parts, n+"="+fields[n])
		}
	}
	if momentary.MatchString(key) {
		key = aMoment.ReplaceAllString(key, "moment")
	}
	return key, "row " + strings.Join(parts, " "), true
}

// text writes an attribute the same way for the same value.
func text(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberB:
		return base64.StdEncoding.EncodeToString(v.Value)
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprint(v.Value)
	case *types.AttributeValueMemberSS:
		set := slices.Clone(v.Value)
		slices.Sort(set)
		return fmt.Sprint(set)
	case *types.AttributeValueMemberL:
		parts := make([]string, len(v.Value))
		for i, e := range v.Value {
			parts[i] = text(e)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case *types.AttributeValueMemberM:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v.Value)) {
			parts = append(parts, k+":"+text(v.Value[k]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case nil:
		return ""
	default:
		return fmt.Sprintf("%T", v)
	}
}

// bucketState notes each object by key: the hash of its content, and how many versions it has.
func (p *player) bucketState(ctx context.Context, name string, items map[string]string) error {
	client := s3.NewFromConfig(p.Config(operator), func(o *s3.Options) { o.UsePathStyle = true })
	bucket := p.House.Template.Outputs[name]
	pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: &bucket})
	versions := map[string]int{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list %s: %w", name, err)
		}
		for _, v := range page.Versions {
			versions[aws.ToString(v.Key)]++
		}
		for _, m := range page.DeleteMarkers {
			items[name+" "+aws.ToString(m.Key)+" deleted"] = "a delete marker"
		}
	}
	var segments []string
	for key := range versions {
		if strings.HasPrefix(key, "segments/") {
			segments = append(segments, key)
		}
	}
	left, err := p.leftSegments(ctx, segments)
	if err != nil {
		return err
	}
	for key, n := range versions {
		if nothingOwn, unnamed := left[key]; unnamed && nothingOwn {
			p.notes.Segments++
			continue
		}
		if strings.HasPrefix(key, "directory/") {
			continue // WeCom's answers as they came, one object for each reading
		}
		out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return fmt.Errorf("read an object of %s: %w", name, err)
		}
		sum := sha256.New()
		if name == "ReportsBucket" {
			b, err := io.ReadAll(out.Body)
			if err == nil {
				b, err = normalReport(key, b)
			}
			if err == nil {
				_, err = sum.Write(b)
			}
			if err := errors.Join(err, out.Body.Close()); err != nil {
				return fmt.Errorf("read an object of %s: %w", name, err)
			}
		} else if _, err := io.Copy(sum, out.Body); errors.Join(err, out.Body.Close()) != nil {
			return fmt.Errorf("read an object of %s: %w", name, err)
		}
		if isAlert(key) {
			continue
		}
		items[name+" "+key] = fmt.Sprintf("%x in %d versions", sum.Sum(nil), n)
	}
	return nil
}

// alertObject is the name of an alert's object, or of R7 at noon: those tell of the faults themselves; or of a preview, which is made as often as it is asked for.
var alertObject = regexp.MustCompile(`R7|/[0-9a-f]{12}-R[0-9]|R[0-9]+-preview-`)

func isAlert(key string) bool { return alertObject.MatchString(key) }

// nearNoon is what R12 has told of the last hour before noon, kept for the next one: what was found just before that hour in one run is found within it in another.
var nearNoon = regexp.MustCompile(`"reported":(null|\[[^\]]*\])`)

// normalReport is what a report's object tells, without when it was made.
func normalReport(key string, b []byte) ([]byte, error) {
	if strings.HasSuffix(key, ".eml") {
		return normalMail(b)
	}
	if strings.HasSuffix(key, "/R12.json") {
		b = nearNoon.ReplaceAll(b, []byte(`"reported":`))
	}
	return inAnyOrder(withoutMoments(b)), nil // the order that people see is that of the mails
}

// mailState notes each mail that SES took, by receiver and id. One that was taken twice must say so itself, in its header; and each that the
// ledger has as sent must have been taken, and what became of it be known. The last two hold for alerts too, which are not compared.
func (p *player) mailState(ctx context.Context, items map[string]string) (doubles []string, err error) {
	seen, noon := map[string]string{}, map[string]bool{}
	for _, c := range p.corpus.Corps {
		err := p.ledger.Mails(ctx, archive.CorpID(c.ID), func(m ledger.MailRow) bool {
			noon["mail "+m.To+" "+report.ID(c.ID, m.Report, m.Day, m.To)] = m.Day == dawn.Format(time.DateOnly)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	mails, err := p.Mails.Mails()
	if err != nil {
		return nil, err
	}
	for _, m := range mails {
		raw, err := p.Mails.Raw(m.ID)
		if err != nil {
			return nil, err
		}
		marked := bytes.HasPrefix(raw, []byte(attemptHeader))
		if marked {
			_, raw, _ = bytes.Cut(raw, []byte("\r\n"))
		}
		normal, err := normalMail(raw)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(normal)
		key, value := "mail "+strings.Join(m.Destinations, ",")+" "+m.Tags["report_id"], hex.EncodeToString(sum[:])
		before, twice := seen[key]
		switch {
		case twice && (!marked || before != value):
			items[key+" unmarked double"] = "a mail that came twice without a word"
		case twice:
			doubles = append(doubles, key)
		}
		seen[key] = value
		switch {
		case bytes.Contains(raw, []byte("\r\nX-WecomVault-Report: R7\r\n")):
		case bytes.Contains(raw, []byte("\r\nX-WecomVault-Report: R6\r\n")) && !noon[key]:
			told := sha256.Sum256(unnamed.ReplaceAll(normal, []byte("(moment)")))
			items["mail "+strings.Join(m.Destinations, ",")+" of groups "+hex.EncodeToString(told[:8])] = "once or more"
		default:
			items[key] = value
		}
	}
	for _, c := range p.corpus.Corps {
		err := p.ledger.Mails(ctx, archive.CorpID(c.ID), func(m ledger.MailRow) bool {
			key := "mail " + m.To + " " + report.ID(c.ID, m.Report, m.Day, m.To)
			switch {
			case m.State == ledger.MailSent && seen[key] == "":
				items[key+" never sent"] = "the ledger has it as sent, and SES never took it"
			case m.State == ledger.MailSent && m.Fate == "":
				items[key+" unknown"] = "SES said that it was delivered, and nobody noted it"
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return doubles, nil
}

// unnamed is what an alert and its attachments are named by: when it was told, and when what it tells of began.
var unnamed = regexp.MustCompile(`(?m)^(Content-Disposition|Date|In-Reply-To|Message-Id|References|X-Wecomvault-Report-Id): .*$`)

// attemptHeader marks a mail that may be a double.
const attemptHeader = "X-WecomVault-Attempt: "

// difference is one item that two end states don't have in common.
type difference struct{ Item, Want, Got string }

func (d difference) String() string {
	switch {
	case d.Want == "":
		return "doubled or unwanted: " + d.Item + " = " + d.Got
	case d.Got == "":
		return "lost: " + d.Item
	}
	return "changed: " + d.Item + "\n      want " + d.Want + "\n      got  " + d.Got
}

// compare lists what a run's end state has otherwise than the undisturbed one.
func compare(want, got state) []difference {
	keys := maps.Clone(want.Items)
	maps.Copy(keys, got.Items)
	var out []difference
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if w, g := want.Items[k], got.Items[k]; w != g {
			out = append(out, difference{k, w, g})
		}
	}
	return out
}
