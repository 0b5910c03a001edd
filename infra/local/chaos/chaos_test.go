package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func TestACallIsNamedByItsPlaceAndNotByItsData(t *testing.T) {
	names := map[string]string{"stack-ControlTable": "ControlTable", "stack-archive": "ArchiveBucket", "stack-mail": "MailQueue"}
	for _, c := range []struct {
		q    awslocal.FaultRequest
		want string
	}{
		{awslocal.FaultRequest{Caller: "FetchFunction", Service: "dynamodb", Operation: "UpdateItem", Body: []byte(`{"TableName":"stack-ControlTable","Key":{"pk":{"S":"corp#ww1"},"sk":{"S":"cursor"}},
			"UpdateExpression":"SET #o = :me","ExpressionAttributeNames":{"#o":"owner","#f":"fence"}}`)}, "FetchFunction dynamodb:UpdateItem ControlTable corp/cursor fence+owner"},
		{awslocal.FaultRequest{Caller: "ProcessFunction", Service: "dynamodb", Operation: "PutItem", Body: []byte(`{"TableName":"stack-ControlTable","Item":{"pk":{"S":"waiting#ww1"},"sk":{"S":"0001773130#ab"}}}`)},
			"ProcessFunction dynamodb:PutItem ControlTable waiting/*"},
		{awslocal.FaultRequest{Caller: "WatchFunction", Service: "dynamodb", Operation: "Query", Body: []byte(`{"TableName":"stack-ControlTable","KeyConditionExpression":"pk = :pk","ExpressionAttributeValues":{":pk":{"S":"alarm#ww1"}}}`)},
			"WatchFunction dynamodb:Query ControlTable alarm"},
		{awslocal.FaultRequest{Caller: "ProcessFunction", Service: "dynamodb", Operation: "TransactWriteItems", Body: []byte(`{"TransactItems":[{"Put":{"TableName":"x","Item":{"pk":{"S":"aside#ww1"},"sk":{"S":"no-key#1"}}}}]}`)},
			"ProcessFunction dynamodb:TransactWriteItems Put aside/*"},
		{awslocal.FaultRequest{Caller: "DirectoryFunction", Service: "dynamodb", Operation: "BatchWriteItem", Body: []byte(`{"RequestItems":{"stack-ControlTable":[{"PutRequest":{"Item":{"pk":{"S":"hist#ww1"},"sk":{"S":"0001"}}}}]}}`)},
			"DirectoryFunction dynamodb:BatchWriteItem ControlTable hist/*"},
		{awslocal.FaultRequest{Caller: "DirectoryFunction", Service: "dynamodb", Operation: "BatchGetItem", Body: []byte(`{"RequestItems":{"stack-ControlTable":{"Keys":[{"pk":{"S":"event#ww1"},"sk":{"S":"1"}},{"pk":{"S":"life#ww1"},"sk":{"S":"1"}}]}}}`)},
			"DirectoryFunction dynamodb:BatchGetItem ControlTable"},
		{awslocal.FaultRequest{Caller: "MediaFunction", Service: "s3", Operation: "PutObject", Resource: "stack-archive/media/corp=ww1/ab"}, "MediaFunction s3:PutObject ArchiveBucket media"},
		{awslocal.FaultRequest{Caller: "MailFunction", Service: "sqs", Operation: "ReceiveMessage", Resource: "http://127.0.0.1:1/000000000000/stack-mail"}, "MailFunction sqs:ReceiveMessage MailQueue"},
		{awslocal.FaultRequest{Caller: "FetchFunction", Service: "secretsmanager", Operation: "GetSecretValue", Resource: "vault/corp/ww1/archive"}, "FetchFunction secretsmanager:GetSecretValue vault/corp/*/archive"},
		{awslocal.FaultRequest{Caller: "FetchFunction", Service: "dynamodb", Operation: "GetItem", Body: []byte(`no JSON`)}, "FetchFunction dynamodb:GetItem unreadable"},
	} {
		if got := site(c.q, names); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}

func TestAFaultIsPlayedOnceForAllTriesOfTheSDK(t *testing.T) {
	dir := t.TempDir()
	l := line{"MailFunction sqs:ReceiveMessage q", failed}
	q := awslocal.FaultRequest{Caller: "MailFunction", Service: "sqs", Operation: "ReceiveMessage", Resource: "q", Body: []byte("{}")}
	play := func() (acts []awslocal.Act) {
		hits, err := openJournal(filepath.Join(dir, hitsFile))
		if err != nil {
			t.Fatal(err)
		}
		h := newHook([]line{l}, hits)
		for range 5 {
			acts = append(acts, h.decide(q).Act)
		}
		return acts
	}
	if diff := cmp.Diff([]awslocal.Act{awslocal.FailAfter, awslocal.Refuse, awslocal.Refuse, awslocal.Pass, awslocal.Pass}, play()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(make([]awslocal.Act, 5), play()); diff != "" {
		t.Errorf("a process that is started again plays it again: %s", diff)
	}
}

func TestAFaultIsForTheCallThatItIsMeantFor(t *testing.T) {
	hits, err := openJournal(filepath.Join(t.TempDir(), hitsFile))
	if err != nil {
		t.Fatal(err)
	}
	h := newHook([]line{{"WatchFunction sqs:SendMessage q", cut}}, hits)
	h.nth = 3
	var acts []awslocal.Act
	for range 5 {
		acts = append(acts, h.decide(awslocal.FaultRequest{Caller: "WatchFunction", Service: "sqs", Operation: "SendMessage", Resource: "q"}).Act)
	}
	if diff := cmp.Diff([]awslocal.Act{awslocal.Pass, awslocal.Pass, awslocal.CutAfter, awslocal.Pass, awslocal.Pass}, acts); diff != "" {
		t.Error(diff)
	}
}

func TestCallsOfTheOperatorAreLeftAlone(t *testing.T) {
	hits, err := openJournal(filepath.Join(t.TempDir(), hitsFile))
	if err != nil {
		t.Fatal(err)
	}
	h := newHook([]line{{operator + " sqs:SendMessage q", refused}}, hits)
	if d := h.decide(awslocal.FaultRequest{Caller: operator, Service: "sqs", Operation: "SendMessage", Resource: "q"}); d.Act != awslocal.Pass {
		t.Errorf("%+v", d)
	}
	if len(h.sites()) != 0 {
		t.Errorf("seen %v", h.sites())
	}
}

func TestWhatMustDifferIsLeftOutAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		table      string
		row        map[string]string
		key, value string
		keep       bool
	}{
		{"ControlTable", map[string]string{"pk": "batch#ww1", "sk": "1-8-ab", "state": "done", "pulled": "now", "items": "8"}, "ControlTable batch#ww1 1-8-ab", "row items=8 state=done", true},
		{"ControlTable", map[string]string{"pk": "corp#ww1", "sk": "cursor", "seq": "8", "fence": "3", "chain_hash": "ab"}, "ControlTable corp#ww1 cursor", "row chain_hash=ab seq=8", true},
		{"ControlTable", map[string]string{"pk": "mail#ww1", "sk": "2026-03-10#R7#ab", "state": "sent"}, "", "", false},
		{"ControlTable", map[string]string{"pk": "mail#ww1", "sk": "2026-03-10#R1#ab", "state": "sent", "attempt": "2"}, "ControlTable mail#ww1 2026-03-10#R1#ab", "row state=sent", true},
		{"ControlTable", map[string]string{"pk": "receiver#ww1", "sk": "r-1", "rev": "2", "receiver": `{"id":"r-1","added":"2026-03-10T08:00:01.5Z"}`}, "ControlTable receiver#ww1 r-1",
			`row receiver={"id":"r-1","added":"(moment)"} rev=2`, true},
		{"ControlTable", map[string]string{"pk": "suppressed#ww1", "sk": "ab", "since": "then", "lifted": "now", "reason": "bounced"}, "ControlTable suppressed#ww1 ab", "row reason=bounced", true},
		{"MessagesTable", map[string]string{"pk": "msg#ww1#a#202603", "sk": "1", "text": "hello"}, "MessagesTable msg#ww1#a#202603 1", "row text=hello", true},
		{"DirectoryTable", map[string]string{"pk": "hist#ww1#member#a", "sk": "1773129600123", "at": "now", "fields": "{}"}, "DirectoryTable hist#ww1#member#a moment", "row fields={}", true},
	} {
		key, value, keep := normalRow(c.table, c.row)
		if key != c.key || value != c.value || keep != c.keep {
			t.Errorf("%q %q %v, not %q %q %v", key, value, keep, c.key, c.value, c.keep)
		}
	}
	for _, e := range exceptions {
		if e.why == "" {
			t.Errorf("the exception for %q %q has no reason", e.rows, e.names)
		}
	}
}

func TestEveryDifferenceIsFound(t *testing.T) {
	want := state{Items: map[string]string{"same": "1", "lost": "2", "changed": "3"}}
	got := state{Items: map[string]string{"same": "1", "doubled": "2", "changed": "4"}}
	var words []string
	for _, d := range compare(want, got) {
		words = append(words, strings.SplitN(d.String(), "\n", 2)[0])
	}
	if diff := cmp.Diff([]string{"changed: changed", "doubled or unwanted: doubled = 2", "lost: lost"}, words); diff != "" {
		t.Error(diff)
	}
}

func TestADoubleIsAllowedOnlyWhereAnAnswerWasWithheld(t *testing.T) {
	about := func(sites ...line) group {
		var g group
		for _, l := range sites {
			g.entries = append(g.entries, entry{line: l})
		}
		return g
	}
	ses := "MailFunction ses:SendRawEmail"
	for name, c := range map[string]struct {
		g       group
		doubles []string
		want    int
	}{
		"none":                       {about(line{"ReportFunction x", failed}), nil, 0},
		"without a reason":           {about(line{"ReportFunction x", failed}), []string{"mail"}, 1},
		"the answer was lost":        {about(line{ses, failed}), []string{"mail"}, 0},
		"withheld, and sent again":   {about(line{ses, withheld}), []string{"mail"}, 0},
		"withheld, and nobody cares": {about(line{ses, withheld}), nil, 1},
	} {
		if got := unasked(c.g, c.doubles); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestALineIsInOneGroupAndCallersAreSpread(t *testing.T) {
	var all []entry
	for _, who := range []string{"A", "B", "C"} {
		for _, what := range []string{"1", "2", "3", "4"} {
			all = append(all, entry{line: line{who + " " + what, refused}, kind: atEndpoint}, entry{line: line{who + " " + what, late}, kind: atEndpoint})
		}
	}
	seen := map[line]int{}
	got := groups(all, 3)
	for _, g := range got {
		callers := map[string]bool{}
		for _, e := range g.entries {
			seen[e.line]++
			callers[e.Site[:1]] = true
			if e.Mode != g.entries[0].Mode {
				t.Errorf("group %s mixes modes", g.name)
			}
		}
		if len(g.entries) > 3 || len(callers) != 3 {
			t.Errorf("group %s: %v", g.name, g.entries)
		}
	}
	if len(seen) != len(all) || len(got) != 8 || got[0].entries[0].Mode != late {
		t.Errorf("%d lines in %d groups, the first being %s", len(seen), len(got), got[0].name)
	}
}

func TestAMailIsTheSameWithoutItsMoments(t *testing.T) {
	mail := func(boundary, text string) []byte {
		return []byte("Subject: Report\r\nContent-Type: multipart/alternative; boundary=\"" + boundary + "\"\r\n\r\n--" + boundary +
			"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + text + "\r\n--" + boundary + "--\r\n")
	}
	normal := func(raw []byte) string {
		t.Helper()
		b, err := normalMail(raw)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := normal(mail("one", "at least 119 hours; until 2026-03-15 11:55 UTC (19:55 UTC+08:00), 3 me=\r\nmbers"))
	if second := normal(mail("two", "at least 12=\r\n0 hours; until 2026-03-15 12:00 UTC (20:00 UTC+08:00), 3 members")); first != second {
		t.Errorf("they differ:\n%s\n%s", first, second)
	}
	if other := normal(mail("one", "at least 119 hours; until 2026-03-15 11:55 UTC (19:55 UTC+08:00), 4 members")); first == other {
		t.Error("another number of members is not seen")
	}
	told := "between 2026-03-10 08:00 and 2026-03-10 08:40 UTC (16:40 UTC+08:00)"
	if first, second := normal(mail("one", told+"; WeCom told of it at 2026-03-10 08:40 UTC (16:40 UTC+08:00)>")), normal(mail("one", told+">")); first != second {
		t.Errorf("they differ:\n%s\n%s", first, second)
	}
	if _, err := normalMail([]byte("no mail")); err == nil {
		t.Error("what is no mail is taken for one")
	}
}

// TestEachMutantsTextIsInTheProductOnce keeps the mutants from going stale.
func TestEachMutantsTextIsInTheProductOnce(t *testing.T) {
	all, err := mutants()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Errorf("there are %d mutants", len(all))
	}
	for _, m := range all {
		source, err := os.ReadFile(filepath.Join("..", "..", "..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		changed, err := m.apply(source)
		if err != nil {
			t.Error(err)
		} else if string(changed) == string(source) {
			t.Errorf("mutant %s changes nothing", m.name)
		}
		if _, err := os.Stat(filepath.Join("..", "..", "..", "functions", m.build)); err != nil {
			t.Errorf("mutant %s is built into no function: %v", m.name, err)
		}
	}
}

func TestAMutantThatCanNotBeReadIsRefused(t *testing.T) {
	const whole = "what: w\nbuild: fetch\nplay: none\nfile: f\n<<<<\na\n====\nb\n>>>>\n"
	m, err := parseMutant("x", whole)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := m.apply([]byte("1 a 2")); err != nil || string(b) != "1 b 2" {
		t.Errorf("%q, %v", b, err)
	}
	for _, source := range []string{"nothing", "a and a"} {
		if b, err := m.apply([]byte(source)); err == nil {
			t.Errorf("%q became %q", source, b)
		}
	}
	for _, bad := range []string{"", "what: w\n", strings.Replace(whole, "file: f\n", "", 1), strings.Replace(whole, "====", "=", 1), strings.Replace(whole, ">>>>", ">", 1), strings.Replace(whole, "what", "who", 1)} {
		if _, err := parseMutant("x", bad); err == nil {
			t.Errorf("%q is taken for a mutant", bad)
		}
	}
}

func TestOnlyTimeoutsDifferInTheTemplate(t *testing.T) {
	from := filepath.Join("..", "..", "..", "template.yaml")
	to := filepath.Join(t.TempDir(), "template.yaml")
	if err := shortTemplate(from, to, timeouts); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(b), "\n")
	}
	was, is := read(from), read(to)
	if len(was) != len(is) {
		t.Fatalf("%d lines became %d", len(was), len(is))
	}
	changed := 0
	for i := range was {
		if was[i] == is[i] {
			continue
		}
		changed++
		if !strings.HasPrefix(is[i], "      Timeout: ") {
			t.Errorf("%q became %q", was[i], is[i])
		}
	}
	if changed < len(timeouts)-1 { // one may have that time-out already
		t.Errorf("%d time-outs changed, of %d", changed, len(timeouts))
	}
}

func TestALifeIsTheSameWithoutItsMomentsAndAnotherWithAnotherValue(t *testing.T) {
	life := func(at time.Time, mobile string) string {
		look := func(at time.Time, mobile string) directory.Look {
			return directory.Look{Kind: directory.KindMember, ID: "a", Asked: at, Answered: at.Add(time.Second), Part: directory.PartMembers, Via: "contacts", Presence: directory.There,
				Seen: map[directory.Field]string{directory.FieldMobile: mobile}}
		}
		return lifeText(directory.Fold(directory.KindMember, "a", []directory.Look{look(at, "1"), look(at.Add(time.Hour), mobile)}, nil))
	}
	if a, b := life(dawn, "2"), life(dawn.Add(time.Minute), "2"); a != b || !strings.Contains(a, `"2"`) {
		t.Errorf("%s, and %s", a, b)
	}
	if a, b := life(dawn, "2"), life(dawn, "3"); a == b {
		t.Errorf("both are %s", a)
	}
}

func TestAWordOfWeComsIsKeptOnlyAsWhatItSaidAndWhen(t *testing.T) {
	d := wecomsim.Delivery{Change: "delete_user", Message: "<CreateTime>1773129600</CreateTime><UserID><![CDATA[a]]></UserID>"}
	kept := directory.Notice{Kind: directory.KindMember, ID: "a", At: time.Unix(1773129600, 0), Says: directory.ToldDeleted}
	other := kept
	other.Says = directory.ToldCreated
	late := kept
	late.At = kept.At.Add(time.Second)
	if !noted(d, []directory.Notice{other, kept}) {
		t.Error("it is not found")
	}
	if noted(d, []directory.Notice{other, late}) {
		t.Error("another is taken for it")
	}
}

func TestAnAlertIsTheSameWhateverItIsNamedBy(t *testing.T) {
	alert := func(minute, text string) string {
		normal, err := normalMail([]byte("Date: Tue, 10 Mar 2026 08:" + minute + ":04 +0000\r\nMessage-Id: <" + minute + "@report.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
			"Content-Type: text/csv\r\nContent-Disposition: attachment;\r\n filename=\"=?UTF-8?B?" + minute + "?=\";\r\n filename*1*=10-08" + minute + ".csv\r\n\r\n" + text + "\r\n--b--\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return string(unnamed.ReplaceAll(normal, nil))
	}
	if a, b := alert("00", "one"), alert("05", "one"); a != b {
		t.Errorf("they differ:\n%s\n%s", a, b)
	}
	if a, b := alert("00", "one"), alert("00", "two"); a == b {
		t.Error("another text is not seen")
	}
}
