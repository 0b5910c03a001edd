package archive_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
)

const good = `{"seq":8,"msgid":"m8","publickey_ver":3,"encrypt_random_key":"cms=","encrypt_chat_msg":"bXNn"}`

func whole(items ...string) string {
	return `{"errcode":0,"errmsg":"ok","chatdata":[` + strings.Join(items, ",") + `]}`
}

func TestOnlyAWholeAnswerIsABatch(t *testing.T) {
	const after = 7
	for name, raw := range map[string]string{
		"empty":                       "",
		"blank":                       " \r\n\t",
		"cut":                         whole(good)[:60],
		"cut before the last brace":   strings.TrimSuffix(whole(good), "}"),
		"a page of somebody else's":   "<!DOCTYPE html><html><body>Sign in</body></html>",
		"two objects":                 whole(good) + whole(good),
		"an object and a word":        whole(good) + " ok",
		"an array":                    `[` + whole(good) + `]`,
		"null":                        `null`,
		"a string":                    `"ok"`,
		"no errcode":                  `{"chatdata":[]}`,
		"errcode null":                `{"errcode":null,"chatdata":[]}`,
		"errcode a string":            `{"errcode":"0","chatdata":[]}`,
		"errcode a fraction":          `{"errcode":0.5,"chatdata":[]}`,
		"chatdata an object":          `{"errcode":0,"chatdata":{}}`,
		"chatdata a string":           `{"errcode":0,"chatdata":""}`,
		"an item that is null":        whole("null"),
		"an item that is a number":    whole("8"),
		"an item that is an array":    whole("[]"),
		"no seq":                      whole(`{"msgid":"m8"}`),
		"seq null":                    whole(`{"seq":null}`),
		"seq a string":                whole(`{"seq":"8"}`),
		"seq negative":                whole(`{"seq":-8}`),
		"seq a fraction":              whole(`{"seq":8.5}`),
		"seq beyond 64 bits":          whole(`{"seq":18446744073709551616}`),
		"seq equal to the asked one":  whole(`{"seq":7}`),
		"seq below the asked one":     whole(`{"seq":6}`),
		"seqs that stand still":       whole(`{"seq":8}`, `{"seq":8}`),
		"seqs that descend":           whole(`{"seq":9}`, `{"seq":8}`),
		"the last seq below the rest": whole(`{"seq":9}`, `{"seq":11}`, `{"seq":10}`),
	} {
		t.Run(name, func(t *testing.T) {
			batch, err := archive.ParseBatch([]byte(raw), after)
			var refusal *archive.RefusalError
			if !errors.Is(err, archive.ErrNotWhole) || errors.As(err, &refusal) || batch.Items != nil {
				t.Errorf("got %d items and the error %v", len(batch.Items), err)
			}
		})
	}
}

func TestAnAnswerWithoutItemsIsAnEmptyBatch(t *testing.T) {
	for _, raw := range []string{`{"errcode":0}`, `{"errcode":0,"errmsg":"ok","chatdata":null}`, " " + whole() + "\n", `{"errcode":0,"chatdata":[],"more":{"x":1}}`} {
		batch, err := archive.ParseBatch([]byte(raw), 7)
		if err != nil || len(batch.Items) != 0 {
			t.Errorf("%s: %d items and the error %v", raw, len(batch.Items), err)
		}
	}
}

func TestARefusalIsToldFromABrokenAnswer(t *testing.T) {
	for raw, want := range map[string]archive.RefusalError{
		`{"errcode":301058,"errmsg":"limit"}`:                      {Code: 301058, Message: "limit"},
		`{"errcode":45009,"errmsg":null,"chatdata":[]}`:            {Code: 45009},
		`{"errcode":-1,"errmsg":["odd"]}`:                          {Code: -1},
		`{"errcode":40014,"errmsg":"x","chatdata":[` + good + `]}`: {Code: 40014, Message: "x"},
	} {
		_, err := archive.ParseBatch([]byte(raw), 0)
		var got *archive.RefusalError
		if !errors.As(err, &got) || *got != want || errors.Is(err, archive.ErrNotWhole) {
			t.Errorf("%s: %v", raw, err)
		}
		if err != nil && want.Message != "" && strings.Contains(err.Error(), want.Message) {
			t.Errorf("the error quotes WeCom's message, which may name an address: %v", err)
		}
	}
}

func TestNothingButItsSeqFailsAnItemsBatch(t *testing.T) {
	for item, want := range map[string]archive.ChatData{
		good: {Seq: 8, MsgID: "m8", KeyVersion: 3, EncryptRandomKey: "cms=", EncryptChatMsg: "bXNn"},
		`{"seq":8,"publickey_ver":3,"encrypt_random_key":"k","encrypt_chat_msg":"m"}`:                          {Seq: 8, KeyVersion: 3, EncryptRandomKey: "k", EncryptChatMsg: "m"},
		`{"seq":8,"msgid":5,"publickey_ver":3,"encrypt_random_key":"k","encrypt_chat_msg":"m"}`:                {Seq: 8, KeyVersion: 3, EncryptRandomKey: "k", EncryptChatMsg: "m"},
		`{"seq":8,"msgid":"m","publickey_ver":"three","encrypt_random_key":"k","encrypt_chat_msg":"m"}`:        {Seq: 8, MsgID: "m", EncryptRandomKey: "k", EncryptChatMsg: "m", Defect: "publickey_ver has the wrong type"},
		`{"seq":8,"msgid":"m","publickey_ver":-1,"encrypt_random_key":"k","encrypt_chat_msg":"m"}`:             {Seq: 8, MsgID: "m", EncryptRandomKey: "k", EncryptChatMsg: "m", Defect: "publickey_ver has the wrong type"},
		`{"seq":8,"msgid":"m","publickey_ver":4294967296,"encrypt_random_key":"k","encrypt_chat_msg":"m"}`:     {Seq: 8, MsgID: "m", EncryptRandomKey: "k", EncryptChatMsg: "m", Defect: "publickey_ver has the wrong type"},
		`{"seq":8,"msgid":"m","encrypt_random_key":"k","encrypt_chat_msg":"m"}`:                                {Seq: 8, MsgID: "m", EncryptRandomKey: "k", EncryptChatMsg: "m", Defect: "publickey_ver is missing"},
		`{"seq":8,"msgid":"m","publickey_ver":3,"encrypt_random_key":null,"encrypt_chat_msg":"m"}`:             {Seq: 8, MsgID: "m", KeyVersion: 3, EncryptChatMsg: "m", Defect: "encrypt_random_key is missing"},
		`{"seq":8,"msgid":"m","publickey_ver":3,"encrypt_random_key":"k","encrypt_chat_msg":{"a":1}}`:          {Seq: 8, MsgID: "m", KeyVersion: 3, EncryptRandomKey: "k", Defect: "encrypt_chat_msg has the wrong type"},
		`{"seq":8,"msgid":"m","publickey_ver":3,"encrypt_random_key":"k","encrypt_chat_msg":"m","new":[true]}`: {Seq: 8, MsgID: "m", KeyVersion: 3, EncryptRandomKey: "k", EncryptChatMsg: "m"},
	} {
		batch, err := archive.ParseBatch([]byte(whole(item)), 7)
		if err != nil {
			t.Errorf("%s: %v", item, err)
			continue
		}
		if diff := cmp.Diff([]archive.ChatData{want}, batch.Items); diff != "" {
			t.Errorf("%s: %s", item, diff)
		}
	}
}

func TestSeqsUseAll64Bits(t *testing.T) {
	const high = archive.Seq(1<<64 - 1)
	batch, err := archive.ParseBatch([]byte(whole(`{"seq":9007199254740993}`, `{"seq":9007199254740994}`, `{"seq":18446744073709551615}`)), 9007199254740992)
	if err != nil || batch.First() != 1<<53+1 || batch.Last() != high {
		t.Fatalf("from %v to %v: %v", batch.First(), batch.Last(), err)
	}
	for i, item := range batch.Items {
		if item.Index != i {
			t.Errorf("place %d says that it is place %d", i, item.Index)
		}
	}
	if _, err := archive.ParseBatch([]byte(whole(`{"seq":18446744073709551615}`)), high); !errors.Is(err, archive.ErrNotWhole) {
		t.Errorf("nothing lies above the highest seq: %v", err)
	}
	if back, err := archive.ParseSeq(high.Key()); err != nil || back != high || len(high.Key()) != 20 {
		t.Errorf("%s read back is %v: %v", high.Key(), back, err)
	}
}

// FuzzParseBatch holds every answer against what fetch relies on: what is called whole ascends, and a batch of it parses again from the
// same place.
func FuzzParseBatch(f *testing.F) {
	for _, raw := range []string{"", whole(), whole(good), whole(good, good), whole(good) + "x", `{"errcode":1}`, `{"errcode":0,"chatdata":null}`, whole(`{"seq":18446744073709551615,"publickey_ver":[]}`)} {
		f.Add([]byte(raw), uint64(0))
		f.Add([]byte(raw), uint64(7))
	}
	f.Fuzz(func(t *testing.T, raw []byte, after uint64) {
		batch, err := archive.ParseBatch(raw, archive.Seq(after))
		var refusal *archive.RefusalError
		switch {
		case err == nil:
			last := archive.Seq(after)
			for i, item := range batch.Items {
				if item.Seq <= last || item.Index != i {
					t.Fatalf("place %d has seq %v after %v and says it is place %d", i, item.Seq, last, item.Index)
				}
				last = item.Seq
			}
			if len(batch.Items) > 0 {
				if again, err := archive.ParseBatch(raw, batch.First()-1); err != nil || len(again.Items) != len(batch.Items) {
					t.Fatalf("what was kept does not parse again: %v", err)
				}
			}
		case errors.As(err, &refusal):
			if refusal.Code == 0 {
				t.Fatal("a refusal with errcode 0")
			}
		case !errors.Is(err, archive.ErrNotWhole):
			t.Fatalf("neither whole, nor a refusal, nor broken: %v", err)
		}
		if err != nil && len(raw) > 40 && strings.Contains(fmt.Sprint(err), string(raw)) {
			t.Fatal("the error quotes the answer")
		}
	})
}

func TestAKeyVersionMayComeAsAString(t *testing.T) {
	for version, want := range map[string]archive.ChatData{
		`"7"`:  {KeyVersion: 7},
		`7`:    {KeyVersion: 7},
		`"x"`:  {Defect: "publickey_ver has the wrong type"},
		`"-1"`: {Defect: "publickey_ver has the wrong type"},
		`null`: {Defect: "publickey_ver is missing"},
	} {
		raw := `{"errcode":0,"chatdata":[{"seq":1,"msgid":"m","publickey_ver":` + version + `,"encrypt_random_key":"k","encrypt_chat_msg":"c"}]}`
		batch, err := archive.ParseBatch([]byte(raw), 0)
		if err != nil {
			t.Fatalf("version %s: %v", version, err)
		}
		if got := batch.Items[0]; got.KeyVersion != want.KeyVersion || got.Defect != want.Defect {
			t.Errorf("version %s is read as %d, defect %q; want %d, %q", version, got.KeyVersion, got.Defect, want.KeyVersion, want.Defect)
		}
	}
}
