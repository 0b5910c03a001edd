package ledger_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryAttributeIsWrittenDown holds the list in keys.go against the code that reads and writes rows, both ways.
func TestEveryAttributeIsWrittenDown(t *testing.T) {
	source, err := os.ReadFile("keys.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(source), "// Their attributes")
	list, _, _ = strings.Cut(list, "\nfunc ")
	documented := map[string]bool{}
	for l := range strings.Lines(list) {
		row, isRow := strings.CutPrefix(l, "//\t")
		if !isRow {
			continue
		}
		row = regexp.MustCompile(`\([^)]*\)|redriven:|;`).ReplaceAllString(row, "")
		for _, word := range regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(row), 2)[1:] {
			for _, attribute := range strings.Fields(word) {
				documented[attribute] = true
			}
		}
	}
	used := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			var literal ast.Expr
			switch n := n.(type) {
			case *ast.IndexExpr:
				literal = n.Index
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && strings.HasPrefix(f.Name, "get") && len(n.Args) == 2 {
					literal = n.Args[1]
				}
			}
			if l, ok := literal.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if name, err := strconv.Unquote(l.Value); err == nil && name != "pk" && name != "sk" && !strings.ContainsAny(name, ":#") {
					used[name] = true
				}
			}
			return true
		})
	}
	for name := range used {
		if !documented[name] {
			t.Errorf("attribute %q is used and not in the list of keys.go", name)
		}
	}
	for name := range documented {
		if !used[name] {
			t.Errorf("attribute %q is in the list of keys.go and nothing uses it", name)
		}
	}
}
