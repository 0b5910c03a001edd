package opening

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// echo opens everything to the same text.
func echo(_ context.Context, _ archive.CorpID, items []financesdk.Item) ([]financesdk.Result, error) {
	results := make([]financesdk.Result, len(items))
	for i := range results {
		results[i].Raw = []byte("{}")
	}
	return results, nil
}

// moody is a library that answers one item with a code that says nothing about it, the first times it is asked.
func moody(times int, word string) Decrypt {
	return func(ctx context.Context, corp archive.CorpID, items []financesdk.Item) ([]financesdk.Result, error) {
		results, err := echo(ctx, corp, items)
		for i := range results {
			if items[i].Msg == word && times > 0 {
				times--
				results[i] = financesdk.Result{Err: &financesdk.Error{Op: "decrypt", Code: 10003, Reason: "decrypt-10003", Err: errors.New("system error")}}
			}
		}
		return results, err
	}
}

func TestOneMoodyItemHoldsNobodyUp(t *testing.T) {
	items := []financesdk.Item{{Msg: "a"}, {Msg: "b"}, {Msg: "c"}}
	for times, opens := range map[int]bool{1: true, 2: true, 3: false, 9: false} {
		results, err := New(nil, moody(times, "b")).insist(t.Context(), "wwtide", items)
		if err != nil {
			t.Fatalf("after %d refusals: %v", times, err)
		}
		if results[0].Err != nil || results[2].Err != nil || (results[1].Err == nil) != opens {
			t.Errorf("after %d refusals the results are %v", times, results)
		}
	}
}

// shelf holds keys and counts how often it is asked.
type shelf struct {
	keys  map[archive.KeyVersion]*rsa.PrivateKey
	asked map[archive.KeyVersion]int
	err   error
}

func (s *shelf) Key(_ context.Context, _ archive.CorpID, v archive.KeyVersion) (*rsa.PrivateKey, error) {
	s.asked[v]++
	if s.err != nil {
		return nil, s.err
	}
	if k := s.keys[v]; k != nil {
		return k, nil
	}
	return nil, secrets.ErrAbsent
}

func TestEachItemIsOpenedOrRefusedWithItsReason(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, []byte("k")) //nolint:staticcheck // WeCom's padding
	if err != nil {
		t.Fatal(err)
	}
	good := base64.StdEncoding.EncodeToString(block)
	items := []archive.ChatData{
		{Index: 0, Seq: 1, KeyVersion: 1, EncryptRandomKey: good, EncryptChatMsg: "a"},
		{Index: 1, Seq: 2, KeyVersion: 2, EncryptRandomKey: good, EncryptChatMsg: "a"},
		{Index: 2, Seq: 4, KeyVersion: 2, EncryptRandomKey: good, EncryptChatMsg: "a"},
		{Index: 3, Seq: 5, KeyVersion: 1, EncryptRandomKey: "?", EncryptChatMsg: "a"},
		{Index: 4, Seq: 6, KeyVersion: 1, EncryptRandomKey: base64.StdEncoding.EncodeToString(make([]byte, 256)), EncryptChatMsg: "a"},
		{Index: 5, Seq: 7, KeyVersion: 1, Defect: "encrypt_chat_msg is missing"},
		{Index: 6, Seq: 9, KeyVersion: 1, EncryptRandomKey: good, EncryptChatMsg: "a"},
	}
	s := &shelf{keys: map[archive.KeyVersion]*rsa.PrivateKey{1: key}, asked: map[archive.KeyVersion]int{}}
	out, err := New(NewRing(s), echo).Open(t.Context(), "wwtide", items)
	if err != nil {
		t.Fatal(err)
	}
	var opened []archive.Seq
	for _, o := range out.Opened {
		opened = append(opened, o.Message.Seq)
		if o.Decoder != wire.Version || items[o.Index].Seq != o.Message.Seq {
			t.Errorf("seq %v says place %d and decoder %d", o.Message.Seq, o.Index, o.Decoder)
		}
	}
	reasons := map[archive.Seq]fault.Reason{}
	for _, r := range out.Refused {
		reasons[r.Item.Seq] = r.Reason
	}
	if diff := cmp.Diff([]archive.Seq{1, 9}, opened); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[archive.Seq]fault.Reason{2: NoKey, 4: NoKey, 5: BadItem, 6: KeyDoesNotFit, 7: BadItem}, reasons); diff != "" {
		t.Error(diff)
	}
	if s.asked[1] != 1 || s.asked[2] != 1 {
		t.Errorf("the keys were asked for %v times", s.asked)
	}
	// A key that was absent or did not fit may have been added since.
	if _, err := New(NewRing(s), echo).Open(t.Context(), "wwtide", items); err != nil || s.asked[2] != 2 {
		t.Errorf("asked %v times, %v", s.asked, err)
	}
	s.err = errors.New("the key store is away")
	if _, err := New(NewRing(s), echo).Open(t.Context(), "wwtide", items); !errors.Is(err, s.err) {
		t.Errorf("without a key store: %v", err)
	}
}

func TestAPanicOnAllProcessorsIsAnErrorWithoutItsValue(t *testing.T) {
	err := spread(9, func(i int) {
		if i%2 == 1 {
			panic("canary")
		}
	})
	if err == nil || !strings.Contains(err.Error(), "opening_test.go:") || strings.Contains(err.Error(), "canary") || fault.KindOf(err) != fault.Retryable {
		t.Errorf("it ends with %v", err)
	}
	if err := spread(9, func(int) {}); err != nil {
		t.Error(err)
	}
}
