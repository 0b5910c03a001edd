package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kept is an archive with a few messages in it, which no bad input may touch.
type kept struct {
	*library
	data   string
	before []line
}

const keptCorp = "wwkept"

func newKept(t *testing.T) *kept {
	t.Helper()
	k := &kept{library: newLibrary(t), data: filepath.Join(t.TempDir(), "data")}
	k.say(1, text("一"))
	k.say(2, text("two"))
	code, out := play(t, append(k.write(1, 2), "-once", "-data", k.data, "-corp", keptCorp)...)
	if code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if k.before = messages(t, k.data, keptCorp); len(k.before) != 2 {
		t.Fatalf("%d messages", len(k.before))
	}
	return k
}

// copied is the same archive and library in folders of their own.
func (k *kept) copied(t *testing.T) *kept {
	t.Helper()
	l := *k.library
	c := &kept{library: &l, data: filepath.Join(t.TempDir(), "data"), before: k.before}
	l.t, l.dir = t, filepath.Join(t.TempDir(), "lib")
	for from, to := range map[string]string{k.data: c.data, k.dir: l.dir} {
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return c
}

// args are the flags of a run over the library, of which replace names those to be given differently: flag, value, …
func (k *kept) args(replace ...string) []string {
	args := append(k.write(1, 2), "-once", "-data", k.data, "-corp", keptCorp)
	for i := 0; i < len(replace); i += 2 {
		found := false
		for j := range args {
			if args[j] == replace[i] {
				args[j+1], found = replace[i+1], true
			}
		}
		if !found {
			args = append(args, replace[i], replace[i+1])
		}
	}
	return args
}

// refuses runs the program, wants a failure that says the words within a time, and the archive as it was.
func (k *kept) refuses(t *testing.T, words []string, replace ...string) {
	t.Helper()
	code, out := play(t, k.args(replace...)...)
	if code == 0 {
		t.Errorf("exit 0")
	}
	wantSaid(t, out, words...)
	k.intact(t)
}

func (k *kept) intact(t *testing.T) {
	t.Helper()
	after := messages(t, k.data, keptCorp)
	if len(after) != len(k.before) {
		t.Fatalf("%d messages are archived, %d were", len(after), len(k.before))
	}
	for i := range after {
		if after[i].RawSHA256 != k.before[i].RawSHA256 || after[i].State != k.before[i].State {
			t.Errorf("seq %d was %+v and is %+v", after[i].Seq, k.before[i], after[i])
		}
	}
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWrongKeyFileIsNamedWithWhatItIs(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	der, err := x509.MarshalPKIXPublicKey(&k.key(1).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private := x509.MarshalPKCS1PrivateKey(k.key(1))
	encoded := func(kind string, b []byte, headers map[string]string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b, Headers: headers})
	}
	for name, c := range map[string]struct {
		file    string
		content []byte
		words   []string
	}{
		"no PEM":             {"3.pem", []byte("my key"), []string{"3.pem", "no PEM file"}},
		"empty":              {"3.pem", nil, []string{"3.pem", "no PEM file"}},
		"public key":         {"3.pem", encoded("PUBLIC KEY", der, nil), []string{"3.pem", "public key", "private key of the same pair"}},
		"passphrase":         {"3.pem", encoded("ENCRYPTED PRIVATE KEY", private, nil), []string{"3.pem", "passphrase", "openssl pkey"}},
		"old passphrase":     {"3.pem", encoded("RSA PRIVATE KEY", private, map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}), []string{"3.pem", "passphrase"}},
		"damaged":            {"3.pem", encoded("RSA PRIVATE KEY", private[:100], nil), []string{"3.pem", "damaged"}},
		"name":               {"company.pem", encoded("RSA PRIVATE KEY", private, nil), []string{"company.pem", "publickey_ver"}},
		"version 0":          {"0.pem", encoded("RSA PRIVATE KEY", private, nil), []string{"0.pem", "publickey_ver"}},
		"version beyond all": {"4294967296.pem", encoded("RSA PRIVATE KEY", private, nil), []string{"4294967296.pem", "publickey_ver"}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := filepath.Join(t.TempDir(), "keys")
			write(t, filepath.Join(keys, c.file), c.content)
			k.refuses(t, c.words, "-keys", keys)
		})
	}
	t.Run("no folder", func(t *testing.T) {
		k.refuses(t, []string{"-keys", "no such file"}, "-keys", filepath.Join(t.TempDir(), "absent"))
	})
	t.Run("empty secret", func(t *testing.T) {
		k.refuses(t, []string{"-secret-file", "is empty"}, "-secret-file", write(t, filepath.Join(t.TempDir(), "secret"), []byte("\n")))
	})
	t.Run("no secret file", func(t *testing.T) {
		k.refuses(t, []string{"-secret-file", "no such file"}, "-secret-file", filepath.Join(t.TempDir(), "absent"))
	})
}

func TestAnotherVersionsKeyIsRefusedAndTheRightOneStillTaken(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	late := k.say(3, text("under version 3"))
	wrong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k.write(1, 2)
	encoded := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(wrong)})
	keys := filepath.Join(t.TempDir(), "keys")
	write(t, filepath.Join(keys, "1.pem"), encoded) // another key for a version that is held
	code, out := play(t, k.args("-keys", keys)...)
	wantExit(t, code, 3, out)
	wantSaid(t, out, "another key is held as version 1", "Nothing was changed")
	keys = filepath.Join(t.TempDir(), "keys")
	write(t, filepath.Join(keys, "3.pem"), encoded) // a key that opens nothing of what waits for it
	code, out = play(t, k.args("-keys", keys)...)
	wantExit(t, code, 3, out)
	wantSaid(t, out, "does not open seq", "another version's key", "Nothing was changed")
	code, out = play(t, append(k.write(1, 2, 3), "-once", "-data", k.data, "-corp", keptCorp)...)
	wantExit(t, code, 0, out)
	lines := messages(t, k.data, keptCorp)
	wantCounts(t, lines, 3, 0, 0)
	if lines[2].Seq != late || lines[0].RawSHA256 != k.before[0].RawSHA256 {
		t.Errorf("the archive is %+v", lines)
	}
}

func TestWhatIsNoLibraryIsNamedWithWhatItIs(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	dir := t.TempDir()
	elf, err := os.ReadFile(k.so())
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(elf)
	binary.LittleEndian.PutUint16(other[18:], 183) // e_machine: AArch64
	if binary.LittleEndian.Uint16(elf[18:]) == 183 {
		binary.LittleEndian.PutUint16(other[18:], 62) // x86-64
	}
	empty := filepath.Join(dir, "empty.c")
	write(t, empty, []byte("int nothing(void) { return 0; }\n"))
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", filepath.Join(dir, "empty.so"), empty).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		path  string
		words []string
	}{
		"another architecture": {write(t, filepath.Join(dir, "arm.so"), other), []string{"corp wwkept is given up", "arm64"}},
		"text":                 {write(t, filepath.Join(dir, "readme.so"), []byte("Please download the SDK from the website.\n")), []string{"corp wwkept is given up", "no Linux library"}},
		"cut":                  {write(t, filepath.Join(dir, "cut.so"), elf[:len(elf)/3]), []string{"corp wwkept is given up"}},
		"other functions":      {filepath.Join(dir, "empty.so"), []string{"corp wwkept is given up", "NewSdk"}},
		"missing":              {filepath.Join(dir, "absent.so"), []string{"absent.so"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.copied(t).refuses(t, c.words, "-sdk-lib", c.path)
		})
	}
}

func TestADataFolderThatCantBeUsedIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	t.Run("foreign", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "thesis.tex"), []byte("years of work"))
		code, out := play(t, "-once", "-data", dir)
		if code == 0 {
			t.Error("exit 0")
		}
		wantSaid(t, out, dir, "holds other files", "-data")
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("the folder holds %v (%v)", entries, err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "file"), []byte("x"))
		code, out := play(t, "-once", "-data", path)
		if code == 0 {
			t.Error("exit 0")
		}
		wantSaid(t, out, path, "-data")
	})
	t.Run("another version's", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "wecomvault-data"), []byte("7\n"))
		code, out := play(t, "-once", "-data", dir)
		if code == 0 {
			t.Error("exit 0")
		}
		wantSaid(t, out, dir, "another version", "-data")
	})
	t.Run("unwritable", func(t *testing.T) {
		k := newKept(t)
		disk := small(t, "16m")
		moved := filepath.Join(disk, "data")
		if out, err := exec.Command("cp", "-a", k.data, moved).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		remount(t, disk, "ro")
		k.data = moved
		code, out := play(t, k.args()...)
		if code == 0 {
			t.Error("exit 0")
		}
		wantSaid(t, out, moved, "can't be written", "-data")
		remount(t, disk, "rw")
		k.intact(t)
	})
}

func TestAFullDiskIsSaidAndLosesNothing(t *testing.T) {
	slow(t)
	t.Parallel()
	k := newKept(t)
	disk := small(t, "24m")
	moved := filepath.Join(disk, "data")
	if out, err := exec.Command("cp", "-a", k.data, moved).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k.data = moved
	// An attachment that does not fit, among messages that do.
	k.file("big", bytes.Repeat([]byte("0123456789abcdef"), 2<<20))
	k.order = []string{"media id=file-big chunks 500000 big"}
	k.say(1, attachment("file-big", "大.bin", 32<<20))
	code, out := play(t, k.args("-patience", "15s")...)
	if code == 0 {
		t.Error("exit 0")
	}
	wantSaid(t, out, "full", "free some space")
	// With room again the same folder goes on, and nothing was lost.
	remount(t, disk, "size=200m")
	code, out = play(t, k.args()...)
	wantExit(t, code, 0, out)
	lines := messages(t, k.data, keptCorp)
	wantCounts(t, lines, 3, 0, 0)
	for i := range k.before {
		if lines[i].RawSHA256 != k.before[i].RawSHA256 {
			t.Errorf("seq %d has changed", lines[i].Seq)
		}
	}
}

func TestADiskThatIsFullFromTheBeginningIsSaid(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	disk := small(t, "24m")
	moved := filepath.Join(disk, "data")
	if out, err := exec.Command("cp", "-a", k.data, moved).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k.data = moved
	filler := filepath.Join(disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	k.say(1, text("no room for it"))
	code, out := play(t, k.args("-patience", "15s")...)
	if code == 0 {
		t.Error("exit 0")
	}
	wantSaid(t, out, "full", "free some space")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	code, out = play(t, k.args()...)
	wantExit(t, code, 0, out)
	wantCounts(t, messages(t, k.data, keptCorp), 3, 0, 0)
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"-listen", "-pages"} {
		k.refuses(t, []string{name, "in use", "choose another port"}, name, l.Addr().String())
		k.refuses(t, []string{name, "127.0.0.1"}, name, "0.0.0.0:0")
	}
}

func TestATemplateThatIsEditedWronglyIsNamedByItsLine(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	right, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		words    []string
	}{
		"unknown intrinsic":  {"!Sub ", "!Fou ", []string{"line", "!Fou"}},
		"missing parameter":  {"  PollInterval:", "  PollIntervall:", []string{"PollInterval"}},
		"broken YAML":        {"Resources:\n", "Resources: [\n", []string{"line"}},
		"unknown resource":   {"Type: AWS::SQS::Queue\n", "Type: AWS::SQS::Kueue\n", []string{"line", "AWS::SQS::Kueue"}},
		"tab":                {"Resources:\n", "Resources:\n\t\n\tx: 1\n", []string{"line"}},
		"unknown attribute":  {"!GetAtt BatchQueue.Arn", "!GetAtt BatchQueue.Arnn", []string{"line", "Arnn"}},
		"unknown name":       {"!Ref ControlTable\n", "!Ref KontrolTable\n", []string{"line", "KontrolTable"}},
		"unknown schedule":   {"rate(1 minute)", "rate(1 minit)", []string{"line", "minit"}},
		"nothing of a stack": {string(right), "hello: world\n", []string{"Resources"}},
		"empty":              {string(right), "", []string{"template"}},
	} {
		t.Run(name, func(t *testing.T) {
			if !bytes.Contains(right, []byte(c.old)) {
				t.Fatalf("the template has no %q any more", c.old)
			}
			path := write(t, filepath.Join(t.TempDir(), "template.yaml"), []byte(strings.Replace(string(right), c.old, c.new, 1)))
			k.refuses(t, append(c.words, path), "-template", path)
		})
	}
	t.Run("missing", func(t *testing.T) {
		k.refuses(t, []string{"absent.yaml"}, "-template", filepath.Join(t.TempDir(), "absent.yaml"))
	})
}

func TestDamagedDataAreSaidAndNeverGuessedOver(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	for name, c := range map[string]struct {
		file  string
		spoil func(b []byte) []byte
	}{
		"aws.db cut":           {"aws.db", func(b []byte) []byte { return b[:6*os.Getpagesize()] }},
		"aws.db, a few pages":  {"aws.db", func(b []byte) []byte { copy(b[8*os.Getpagesize():], bytes.Repeat([]byte("junk"), 64<<10)); return b }},
		"aws.db cut short":     {"aws.db", func(b []byte) []byte { return b[:5000] }},
		"aws.db overwritten":   {"aws.db", func(b []byte) []byte { return bytes.Repeat([]byte("junk"), len(b)/4) }},
		"wecomsim.db cut":      {"wecomsim.db", func(b []byte) []byte { return b[:5000] }},
		"wecomsim.db foreign":  {"wecomsim.db", func(b []byte) []byte { return bytes.Repeat([]byte("junk"), 4096) }},
		"clock overwritten":    {"clock", func([]byte) []byte { return []byte("noon\n") }},
		"marker of other form": {"wecomvault-data", func([]byte) []byte { return []byte("2\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(k.data, c.file)
			right, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, c.spoil(bytes.Clone(right)))
			code, out := play(t, k.args()...)
			if code == 0 {
				t.Error("exit 0")
			}
			wantSaid(t, out, "-data")
			if strings.Contains(out, "panic") || strings.Contains(out, "goroutine") {
				t.Errorf("it panics:\n%.2000s", out)
			}
			if _, ctlOut := exitCode(t, ctl(t, "-data", k.data, "status")); strings.Contains(ctlOut, "goroutine") {
				t.Errorf("ctl panics:\n%.2000s", ctlOut)
			}
			write(t, path, right)
			k.intact(t)
		})
	}
}

// ctl is the program as make ctl runs it.
func ctl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(local(t), append([]string{"ctl"}, args...)...)
	cmd.Dir = "../.."
	return cmd
}

func TestADataFolderInUseIsNotUsedTwice(t *testing.T) {
	t.Parallel()
	k := newKept(t)
	// A library that takes its time keeps the first run busy.
	k.order = []string{"chat once sleep 9000"}
	first := exec.Command(local(t), k.args()...)
	first.Dir = "../.."
	var out bytes.Buffer
	first.Stdout, first.Stderr = &out, &out
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the first run announces itself", func() bool {
		_, err := os.Stat(filepath.Join(k.data, "endpoint.json"))
		return err == nil
	})
	code, said := play(t, k.args()...)
	if code == 0 {
		t.Error("exit 0")
	}
	wantSaid(t, said, k.data, "in use by another run", "-data")
	if err := first.Wait(); err != nil {
		t.Errorf("the first run: %v\n%s", err, out.String())
	}
	k.intact(t)
}

// eventually waits until something holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
