package main

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/financesdk/sdkhost"
)

// The test binary is its own child, as the functions are.
func TestMain(m *testing.M) {
	sdkhost.RunIfChild()
	os.Exit(m.Run())
}

// standin compiles the stand-in library with Tencent's exported functions, and returns its path and bytes. more are further arguments of gcc.
func standin(t *testing.T, more ...string) (string, []byte) {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil || runtime.GOARCH != goarch || runtime.GOOS != "linux" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("gcc on Linux x86_64 is needed: %v", err)
		}
		t.Skipf("gcc on Linux x86_64 is missing: %v", err)
	}
	path := filepath.Join(t.TempDir(), "standin.so")
	args := append([]string{"-shared", "-fPIC", "-O1", "-o", path, "../../shared/financesdk/testdata/standin/standin.c", "-ldl"}, more...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, raw
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "given")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sdklayer runs the command with a fixed time.
func sdklayer(t *testing.T, args ...string) (code int, out, log string) {
	t.Helper()
	var o, l bytes.Buffer
	code = run(t.Context(), args, func(name string) string {
		return map[string]string{"SOURCE_DATE_EPOCH": "1760000000"}[name]
	}, &o, &l)
	return code, o.String(), l.String()
}

func TestWhatIsNoLibraryForLambdaHasItsSentence(t *testing.T) {
	_, good := standin(t)
	changed := func(change func(raw []byte)) []byte {
		raw := bytes.Clone(good)
		change(raw)
		return raw
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":             {nil, "is no Linux library"},
		"text":              {[]byte("libWeWorkFinanceSdk_C.so would be here"), "is no Linux library"},
		"zip":               {[]byte("PK\x03\x04rest"), "unpack it and give the path of the libWeWorkFinanceSdk_C.so inside"},
		"tgz":               {[]byte("\x1f\x8b\x08rest"), "unpack it"},
		"Windows":           {[]byte("MZrest"), "is a Windows library"},
		"object files":      {[]byte("!<arch>\nrest"), "archive of object files"},
		"arm64":             {changed(func(raw []byte) { binary.LittleEndian.PutUint16(raw[18:], uint16(elf.EM_AARCH64)) }), "is built for arm64, the process that loads it runs on amd64; take the x86 build"},
		"a program":         {changed(func(raw []byte) { binary.LittleEndian.PutUint16(raw[16:], uint16(elf.ET_EXEC)) }), "is not a shared library"},
		"another library":   {bytes.ReplaceAll(good, []byte("GetMediaData"), []byte("GetMediaDatb")), "not Tencent's Finance SDK: it lacks GetMediaData"},
		"cut in the middle": {good[:len(good)/2], "is cut or damaged"},
		"cut at the end":    {good[:len(good)-1], "is cut or damaged"},
		"newer than Lambda": {bytes.ReplaceAll(good, []byte("GLIBC_2.34\x00"), []byte("GLIBC_2.99\x00")), "Lambda's provided.al2023 has glibc 2.34"},
	} {
		if name == "newer than Lambda" && bytes.Equal(c.content, good) {
			t.Logf("%s: the stand-in asks for no version that could be changed", name)
			continue
		}
		zip := filepath.Join(t.TempDir(), "layer.zip")
		code, out, log := sdklayer(t, "-dry", "-out", zip, "-sdk", write(t, c.content))
		if code != exitFailed || !strings.Contains(log, c.want) || strings.Count(strings.TrimSpace(log), "\n") > 0 {
			t.Errorf("%s: code %d, printed %q, said %q, want one line with %q", name, code, out, log, c.want)
		}
		if _, err := os.Stat(zip); err == nil {
			t.Errorf("%s: a layer was built of it", name)
		}
	}
	for _, args := range [][]string{{}, {"-sdk", t.TempDir(), "-dry"}, {"-sdk", "/nowhere/lib.so", "-dry"}, {"-sdk", write(t, good), "-libz", write(t, good), "-dry", "-out", filepath.Join(t.TempDir(), "z")}} {
		if code, _, log := sdklayer(t, args...); code == exitDone || log == "" {
			t.Errorf("%v: code %d, said %q", args, code, log)
		}
	}
}

func TestLayerIsLoadedByTheHostThatLambdaStarts(t *testing.T) {
	path, good := standin(t)
	layer := filepath.Join(t.TempDir(), "layer.zip")
	code, out, log := sdklayer(t, "-dry", "-out", layer, "-sdk", path)
	if code != exitDone || !strings.Contains(out, "version: unknown") || !strings.Contains(out, "not published, as asked") {
		t.Fatalf("code %d, printed %q, said %q", code, out, log)
	}
	opt := filepath.Join(t.TempDir(), "opt")
	for name, content := range unpack(t, layer, opt) {
		switch name {
		case "lib/libWeWorkFinanceSdk_C.so":
			if !bytes.Equal(content, good) {
				t.Error("the library was changed")
			}
		case "lib/manifest.json":
			var m manifest
			if err := json.Unmarshal(content, &m); err != nil || m.Files[0].Bytes != len(good) || m.Files[0].Version != "unknown" || m.Built.Unix() != 1760000000 {
				t.Errorf("manifest %s: %v", content, err)
			}
		default:
			t.Errorf("the layer holds %s", name)
		}
	}
	sdk, err := financesdk.Start(t.Context(), financesdk.Config{Lib: filepath.Join(opt, "lib/libWeWorkFinanceSdk_C.so"), Corp: "wwlayer"})
	if err != nil {
		t.Fatal(err)
	}
	if err := sdk.Close(); err != nil {
		t.Error(err)
	}
}

func TestLibzLiesBesideTheLibrary(t *testing.T) {
	path, _ := standin(t)
	libz, content := standin(t, "-Wl,-soname,libz.so.1")
	layer := filepath.Join(t.TempDir(), "layer.zip")
	if code, _, log := sdklayer(t, "-dry", "-out", layer, "-sdk", path, "-libz", libz); code != exitDone {
		t.Fatal(log)
	}
	if got := unpack(t, layer, t.TempDir())["lib/libz.so.1"]; !bytes.Equal(got, content) {
		t.Errorf("libz in the layer has %d bytes of %d", len(got), len(content))
	}
}

// unpack writes a zip's files below dir, and returns them by name.
func unpack(t *testing.T, path, dir string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("%s has mode %v: Lambda's user could not read it", f.Name, f.Mode())
		}
		to := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, f.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
		out[f.Name] = content
	}
	return out
}

func TestSameLibraryMakesTheSameLayer(t *testing.T) {
	path, _ := standin(t)
	var first []byte
	for range 2 {
		zip := filepath.Join(t.TempDir(), "layer.zip")
		if code, _, log := sdklayer(t, "-dry", "-out", zip, "-sdk", path); code != exitDone {
			t.Fatal(log)
		}
		raw, err := os.ReadFile(zip)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, raw) {
			t.Error("two builds differ")
		}
		first = raw
	}
}

// lambdaAPI stands in for Lambda's PublishLayerVersion and nothing else; it is written from the service's published API and was never held
// against the service.
func lambdaAPI(t *testing.T, answer func(w http.ResponseWriter, name string, zip []byte)) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isVersions := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/2018-10-31/layers/"), "/versions")
		var in struct {
			Content                                     struct{ ZipFile []byte }
			CompatibleArchitectures, CompatibleRuntimes []string
			Description, LicenseInfo                    string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost || !isVersions {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		if len(in.Description) > 256 || len(in.LicenseInfo) > 512 || strings.Join(in.CompatibleArchitectures, ",") != "x86_64" || strings.Join(in.CompatibleRuntimes, ",") != "provided.al2023" {
			t.Errorf("published as %+v", in)
		}
		w.Header().Set("Content-Type", "application/json")
		answer(w, name, in.Content.ZipFile)
	}))
	t.Cleanup(server.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(k, v)
	}
}

func TestPublishedLayerIsTheBuiltOneAndItsArnIsPrinted(t *testing.T) {
	path, _ := standin(t)
	zip := filepath.Join(t.TempDir(), "layer.zip")
	const arn = "arn:aws:lambda:eu-central-1:000000000000:layer:bank-sdk:7"
	lambdaAPI(t, func(w http.ResponseWriter, name string, content []byte) {
		built, err := os.ReadFile(zip)
		if err != nil || !bytes.Equal(built, content) || name != "bank-sdk" {
			t.Errorf("layer %s: %d bytes of %d were sent: %v", name, len(content), len(built), err)
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"LayerVersionArn": arn, "Version": 7})
	})
	code, out, log := sdklayer(t, "-name", "bank-sdk", "-out", zip, "-sdk", path)
	if code != exitDone || !strings.Contains(out, "SdkLayerArn="+arn+"\n") {
		t.Errorf("code %d, printed %q, said %q", code, out, log)
	}
}

func TestARefusedLayerIsAFailureWithItsReason(t *testing.T) {
	path, _ := standin(t)
	lambdaAPI(t, func(w http.ResponseWriter, _ string, _ []byte) {
		w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"Message":"not authorized to perform: lambda:PublishLayerVersion"}`))
	})
	code, out, log := sdklayer(t, "-out", filepath.Join(t.TempDir(), "z"), "-sdk", path)
	if code != exitFailed || !strings.Contains(log, "lambda:PublishLayerVersion") || strings.Contains(out, "published:") {
		t.Errorf("code %d, printed %q, said %q", code, out, log)
	}
}

func TestWithoutAnAccountTheLayerIsBuiltAndThatIsSaid(t *testing.T) {
	path, _ := standin(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	for _, region := range []string{"", "eu-central-1"} {
		t.Setenv("AWS_REGION", region)
		t.Setenv("AWS_DEFAULT_REGION", "")
		zip := filepath.Join(t.TempDir(), "layer.zip")
		code, out, log := sdklayer(t, "-out", zip, "-sdk", path)
		if code != exitNotPublished || !strings.Contains(out, "not published: no AWS account is at hand") {
			t.Errorf("region %q: code %d, printed %q, said %q", region, code, out, log)
		}
		if _, err := os.Stat(zip); err != nil {
			t.Error(err)
		}
	}
}
