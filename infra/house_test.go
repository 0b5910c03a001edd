// Package infra tests what no single package can: that the repository keeps its own rules (this file), and that template.yaml
// gives each function what it needs and nothing else (the others). It ships nothing.
package infra

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/wecomvault/wecomvault"

// source is one Go file of the repository.
type source struct {
	path    string // from the repository's root, with slashes
	dir     string
	test    bool
	file    *ast.File
	imports []string
	lines   int
}

// sources parses every Go file, those of nested modules and test data included.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name != ".." && (strings.HasPrefix(name, ".") || name == "build") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		raw, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, raw, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(p, ".."+string(filepath.Separator)))
		s := source{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(name, "_test.go"), file: f, lines: strings.Count(string(raw), "\n")}
		for _, i := range f.Imports {
			s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d Go files found: the test looks in the wrong place", len(out))
	}
	return out
}

// local cuts the module's name off an import path; ok says whether the package is ours.
func local(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

func within(dir string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return dir == r || strings.HasPrefix(dir, r+"/") })
}

func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

const awsSDK = "github.com/aws/aws-sdk-go-v2"

var (
	purePackages    = []string{"shared/archive", "shared/fault", "shared/wire", "shared/check", "shared/report", "shared/directory", "shared/derived", "shared/callback", "shared/receivers", "shared/consent", "shared/access"}
	outsidePackages = []string{"shared/wecom", "shared/financesdk"}
	awsPackages     = map[string]string{"shared/objstore": "s3", "shared/ledger": "dynamodb", "shared/queue": "sqs", "shared/mailer": "ses", "shared/secrets": "secretsmanager"}
	// parsing holds the packages below net that only read text.
	parsing = []string{"net/mail", "net/url", "net/netip"}
)

// law is one import rule: what it forbids, and why. It gets an import of a file and answers whether the file may not have it.
type law struct {
	name   string
	breaks func(s source, importPath string) bool
	reason string
}

var laws = []law{
	{"functions are the story", func(s source, p string) bool {
		dir, ours := local(p)
		return ours && within(dir, "functions")
	}, "nothing imports a function: what two functions share is a noun, and nouns live in shared/"},

	{"a function imports shared, the standard library and AWS configuration", func(s source, p string) bool {
		if !within(s.dir, "functions") || s.test {
			return false
		}
		dir, ours := local(p)
		if ours {
			return !within(dir, "shared")
		}
		wiring := path.Base(s.path) == "main.go" && strings.HasPrefix(p, awsSDK+"/")
		return !standard(p) && !wiring
	}, "a flow reads as the story of the archive; clients of AWS are made in main.go and used by the packages of shared/, other libraries are hidden there too"},

	{"pure packages stay pure", func(s source, p string) bool {
		if !within(s.dir, purePackages...) || s.test {
			return false
		}
		if dir, ours := local(p); ours {
			return !within(dir, purePackages...)
		}
		if slices.Contains(parsing, p) {
			return false
		}
		return !standard(p) || p == "os" || p == "net" || p == "syscall" || strings.HasPrefix(p, "os/") || strings.HasPrefix(p, "net/")
	}, "a message row must be the same in ten years: what computes it sees no network, no files, no clock and no AWS"},

	{"outside systems know the words and failures only", func(s source, p string) bool {
		if !within(s.dir, outsidePackages...) || s.test {
			return false
		}
		if dir, ours := local(p); ours {
			own := slices.ContainsFunc(outsidePackages, func(o string) bool { return within(s.dir, o) && within(dir, o) })
			return !own && !within(dir, "shared/archive", "shared/fault")
		}
		return strings.HasPrefix(p, "github.com/aws/")
	}, "a client of an outside system must be usable and testable without AWS and without the other systems"},

	{"an AWS package has one service and the pure words", func(s source, p string) bool {
		service, ok := awsPackages[s.dir]
		if !ok || s.test {
			return false
		}
		if dir, ours := local(p); ours {
			return !within(dir, purePackages...)
		}
		if rest, isService := strings.CutPrefix(p, awsSDK+"/service/"); isService {
			return !within(rest, service)
		}
		return false
	}, "each adapter can be read, tested and permitted alone; a flow joins them, they don't join each other"},

	{"the Lambda runtime has three doors", func(s source, p string) bool {
		return within(p, "github.com/aws/aws-lambda-go") && !within(s.dir, "shared/lambdas", "shared/telemetry", "shared/local/lambdahost",
			"infra/local/bench/testdata/empty") // the yardstick of a cold start: the runtime and nothing of ours
	}, "only shared/lambdas decides about retries; whoever else meets the runtime would decide too"},

	{"what stands in for AWS and WeCom never ships", func(s source, p string) bool {
		dir, ours := local(p)
		return ours && within(dir, "shared/local") && !within(s.dir, "shared/local", "infra/local") && !s.test
	}, "there is no local branch in production code: the product is pointed at other addresses, and doesn't know it"},

	{"the simulator is not the product", func(s source, p string) bool {
		dir, ours := local(p)
		if !ours || s.test {
			return false
		}
		switch {
		case within(s.dir, "shared/local/wecomsim", "infra/local/wecomsim"):
			return !within(dir, "shared/local/wecomsim", "shared/local/simcipher")
		case within(s.dir, "infra/local/simsdk"):
			return !within(dir, "shared/financesdk/frames", "shared/local/simcipher")
		}
		return false
	}, "a mistake that the product and its counterpart share is a mistake that no test finds"},
}

func TestImportRules(t *testing.T) {
	for _, s := range sources(t) {
		if within(s.dir, "infra/local/versitygw") { // a module of its own
			continue
		}
		for _, p := range s.imports {
			for _, l := range laws {
				if l.breaks(s, p) {
					t.Errorf("%s imports %s, but %s: %s", s.path, p, l.name, l.reason)
				}
			}
		}
	}
}

// TestImportRulesCatchWhatTheyForbid breaks each rule once, on paper.
func TestImportRulesCatchWhatTheyForbid(t *testing.T) {
	for _, c := range []struct {
		path, imports string
		law           int // -1: allowed
	}{
		{"shared/queue/queue.go", module + "/functions/fetch", 0},
		{"functions/fetch/fetch.go", awsSDK + "/service/s3", 1},
		{"functions/fetch/main.go", awsSDK + "/service/s3", -1},
		{"functions/fetch/fetch.go", "github.com/klauspost/compress/zstd", 1},
		{"functions/fetch/fetch.go", module + "/infra/vaultctl", 1},
		{"shared/wire/wire.go", "os", 2},
		{"shared/wire/wire.go", "net/http", 2},
		{"shared/report/receiver.go", "net/mail", -1},
		{"shared/check/check.go", module + "/shared/ledger", 2},
		{"shared/wecom/client.go", awsSDK + "/aws", 3},
		{"shared/wecom/client.go", module + "/shared/financesdk", 3},
		{"shared/financesdk/pool.go", module + "/shared/financesdk/frames", -1},
		{"shared/ledger/ledger.go", awsSDK + "/service/dynamodb/types", -1},
		{"shared/ledger/ledger.go", awsSDK + "/service/sqs", 4},
		{"shared/ledger/ledger.go", module + "/shared/queue", 4},
		{"shared/queue/queue.go", "github.com/aws/aws-lambda-go/events", 5},
		{"shared/ledger/ledger.go", module + "/shared/local/awslocal", 6},
		{"infra/vaultctl/main.go", module + "/shared/local/template", 6},
		{"infra/local/main.go", module + "/shared/local/template", -1},
		{"shared/ledger/ledger_test.go", module + "/shared/local/awslocal", -1},
		{"shared/local/wecomsim/sim.go", module + "/shared/archive", 7},
		{"infra/local/simsdk/main.go", module + "/shared/financesdk", 7},
		{"infra/local/simsdk/main.go", module + "/shared/financesdk/frames", -1},
	} {
		s := source{path: c.path, dir: path.Dir(c.path), test: strings.HasSuffix(c.path, "_test.go")}
		for i, l := range laws {
			if broken := l.breaks(s, c.imports); broken != (i == c.law) && (i == c.law || c.law == -1) {
				t.Errorf("%s importing %s: rule %q says broken = %v", c.path, c.imports, l.name, broken)
			}
		}
	}
}

func TestEachPackageHasOneComment(t *testing.T) {
	files := map[string][]source{}
	for _, s := range sources(t) {
		if !s.test && !strings.Contains(s.path, "/testdata/") {
			files[s.dir] = append(files[s.dir], s)
		}
	}
	for dir, all := range files {
		var with []string
		for _, s := range all {
			if s.file.Doc != nil {
				with = append(with, s.path)
			}
		}
		if len(with) != 1 {
			t.Errorf("package %s has %d package comments %v: exactly one says what the package owns and what it must not do", dir, len(with), with)
		}
	}
}

func TestNoPackageIsNamedAfterNothing(t *testing.T) {
	forbidden := []string{"common", "util", "utils", "types", "models", "helpers", "handlers", "domain", "service", "services", "base", "core", "manager"}
	for _, s := range sources(t) {
		if name := strings.TrimSuffix(s.file.Name.Name, "_test"); slices.Contains(forbidden, name) || slices.Contains(forbidden, path.Base(s.dir)) {
			t.Errorf("%s: the package name %s says nothing: name it after the one thing that it owns", s.path, name)
		}
	}
}

// calls lists the selector calls and uses of a package's names in a file, as "name" → how often.
func uses(f *ast.File, pkg string) map[string]int {
	alias := ""
	for _, i := range f.Imports {
		if strings.Trim(i.Path.Value, `"`) == pkg {
			alias = path.Base(pkg)
			if i.Name != nil {
				alias = i.Name.Name
			}
		}
	}
	out := map[string]int{}
	if alias == "" {
		return out
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == alias {
				out[sel.Sel.Name]++
			}
		}
		return true
	})
	return out
}

func TestTestsWaitForStatesAndNotForTime(t *testing.T) {
	for _, s := range sources(t) {
		if s.test && uses(s.file, "time")["Sleep"] > 0 {
			t.Errorf("%s sleeps: wait for a state, with a deadline; a duration is too short on a slow machine and too long on every other", s.path)
		}
	}
}

func TestOnlyTheClockAsksForTheTime(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || within(s.dir, "shared/clock", "shared/local", "infra/local") {
			continue
		}
		if uses(s.file, "time")["Now"] > 0 {
			t.Errorf("%s calls time.Now: days are played through the real binaries, so that only clock.Now knows the day and clock.Real measures", s.path)
		}
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: wiring belongs into main, where it can be read", s.path)
			}
		}
	}
}

// Interfaces of the product are their consumer's: unexported and small. What stands in for AWS and WeCom is no different.
func TestInterfacesBelongToTheirConsumers(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			i, ok := spec.Type.(*ast.InterfaceType)
			if !ok || union(i) {
				return true
			}
			if spec.Name.IsExported() && !sealed(i) {
				t.Errorf("%s exports the interface %s: the consumer declares what it needs, a constructor returns what there is", s.path, spec.Name.Name)
			}
			if methods := i.Methods.NumFields(); methods > 3 {
				t.Errorf("%s: interface %s has %d methods: more than three is a copy of the thing itself", s.path, spec.Name.Name, methods)
			}
			return true
		})
	}
}

func TestConstructorsReturnWhatThereIs(t *testing.T) {
	all := sources(t)
	interfaces := map[string]bool{} // dir and name
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok && !sealed(i) {
					interfaces[s.dir+"."+spec.Name.Name] = true
				}
			}
			return true
		})
	}
	if len(interfaces) < 5 {
		t.Fatalf("only %d interfaces found", len(interfaces))
	}
	for _, s := range all {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			for _, result := range f.Type.Results.List {
				if name, ok := result.Type.(*ast.Ident); ok && interfaces[s.dir+"."+name.Name] {
					t.Errorf("%s: %s returns the interface %s: a constructor returns what there is, and its caller asks for what it needs", s.path, f.Name.Name, name.Name)
				}
			}
		}
	}
}

// sealed reports whether an interface has a method that no other package can write: then it is a closed list of types.
func sealed(i *ast.InterfaceType) bool {
	return slices.ContainsFunc(i.Methods.List, func(f *ast.Field) bool {
		return len(f.Names) == 1 && !f.Names[0].IsExported()
	})
}

// union reports whether an interface is a set of types for a type parameter, which no one implements.
func union(i *ast.InterfaceType) bool {
	return slices.ContainsFunc(i.Methods.List, func(f *ast.Field) bool {
		switch f.Type.(type) {
		case *ast.BinaryExpr, *ast.UnaryExpr:
			return true
		}
		return false
	})
}

func TestNothingIsLeftForLater(t *testing.T) {
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				for _, m := range marks {
					if slices.Contains(strings.FieldsFunc(c.Text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }), m) {
						t.Errorf("%s has a comment marked %s: do it, or open an issue", s.path, m)
					}
				}
			}
		}
	}
}

func TestFilesHoldOneIdea(t *testing.T) {
	const most = 900
	for _, s := range sources(t) {
		if s.lines > most {
			t.Errorf("%s has %d lines: a file of more than %d holds more than one idea", s.path, s.lines, most)
		}
	}
}

// The rules above read the files as they are; these see that the eyes work.
func TestRulesSeeWhatTheyLookFor(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
import ( now "time"; "os" )
type A interface { ~int | ~string }
type B interface { M() }
var t = now.Now
func f() { now.Sleep(1); os.Exit(1) }`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if u := uses(f, "time"); u["Now"] != 1 || u["Sleep"] != 1 || u["Exit"] != 0 {
		t.Errorf("uses of time: %v", u)
	}
	var unions []string
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			unions = append(unions, fmt.Sprint(spec.Name.Name, union(spec.Type.(*ast.InterfaceType))))
		}
		return true
	})
	if !slices.Equal(unions, []string{"Atrue", "Bfalse"}) {
		t.Errorf("unions: %v", unions)
	}
}
