package infra

import (
	"go/ast"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

// The ledger reaches DynamoDB by a few small methods of its own; each is one operation. Transactions ask for the permission of each
// of their parts, and are found by the parts' types.
var ledgerOperations = map[string]string{
	"get": "GetItem", "put": "PutItem", "putNamed": "PutItem", "update": "UpdateItem", "each": "Query", "count": "Query",
	"write": "BatchWriteItem", "writeEach": "BatchWriteItem", "erase": "BatchWriteItem", "fetch": "BatchGetItem", "remove": "DeleteItem",
	"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
	"GetItemInput": "GetItem", "PutItemInput": "PutItem", "UpdateItemInput": "UpdateItem", "DeleteItemInput": "DeleteItem", "QueryInput": "Query",
}

// tableIn finds x.tables.T in an expression.
func tableIn(n ast.Node) string {
	found := ""
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if inner, ok := sel.X.(*ast.SelectorExpr); ok && inner.Sel.Name == "tables" {
				found = sel.Sel.Name
			}
		}
		return found == ""
	})
	return found
}

// ledgerUse maps each function and method of the ledger, by name, to what it does to which table: "Control PutItem".
func ledgerUse(all []source) map[string]map[string]bool {
	own := map[string]map[string]bool{}
	calls := map[string]map[string]bool{}
	for _, s := range all {
		if s.dir != "shared/ledger" || s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			name := f.Name.Name
			if own[name] == nil {
				own[name], calls[name] = map[string]bool{}, map[string]bool{}
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					callee := ""
					switch fun := n.Fun.(type) {
					case *ast.SelectorExpr:
						callee = fun.Sel.Name
					case *ast.Ident:
						callee = fun.Name
					}
					calls[name][callee] = true
					for _, a := range n.Args {
						if _, isFunction := a.(*ast.FuncLit); isFunction {
							continue
						}
						if table := tableIn(a); table != "" && ledgerOperations[callee] != "" {
							own[name][table+" "+ledgerOperations[callee]] = true
						}
					}
				case *ast.CompositeLit:
					sel, ok := n.Type.(*ast.SelectorExpr)
					if !ok || ledgerOperations[sel.Sel.Name] == "" {
						return true
					}
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok {
							if k, ok := kv.Key.(*ast.Ident); ok && k.Name == "TableName" {
								if table := tableIn(kv.Value); table != "" {
									own[name][table+" "+ledgerOperations[sel.Sel.Name]] = true
								}
							}
						}
					}
				}
				return true
			})
		}
	}
	for changed := true; changed; {
		changed = false
		for name, callees := range calls {
			for callee := range callees {
				if ledgerOperations[callee] != "" {
					continue // a primitive: what it does depends on its table, which its caller names
				}
				for use := range own[callee] {
					if !own[name][use] {
						own[name][use], changed = true, true
					}
				}
			}
		}
	}
	return own
}

// TestTablesAllowExactlyWhatTheCodeDoes follows each flow's calls of the ledger down to DynamoDB's operations.
func TestTablesAllowExactlyWhatTheCodeDoes(t *testing.T) {
	all := sources(t)
	use := ledgerUse(all)
	if !use["SettleMedia"]["Control PutItem"] || !use["SettleMedia"]["Control DeleteItem"] || !use["CloseAside"]["Messages DeleteItem"] || use["Corps"]["Messages Query"] {
		t.Fatalf("the test misreads the ledger: SettleMedia %v, CloseAside %v, Corps %v", use["SettleMedia"], use["CloseAside"], use["Corps"])
	}
	tmpl := load(t, nil)
	for _, f := range tmpl.Functions {
		needed := map[string]string{} // table and operation → one method that needs it
		written := false
		for _, s := range all {
			if s.dir != "functions/"+folder(f) || s.test {
				continue
			}
			written = true
			ast.Inspect(s.file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				of := ""
				switch x := sel.X.(type) {
				case *ast.SelectorExpr:
					of = x.Sel.Name
				case *ast.Ident:
					of = x.Name
				}
				if of == "ledger" || of == "people" || of == "activity" {
					for u := range use[sel.Sel.Name] {
						needed[u] = sel.Sel.Name
					}
				}
				return true
			})
		}
		if !written {
			continue // TestEachFolderIsAFunctionAndEachFunctionAFolder speaks of it
		}
		role, _ := tmpl.Role(f.RoleARN)
		policies := permits(t, role)
		for _, table := range tmpl.Tables {
			short := strings.TrimSuffix(table.LogicalID, "Table")
			for _, op := range []string{"GetItem", "BatchGetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "ConditionCheckItem"} {
				may := policies.Allowed(authz.Request{Action: "dynamodb:" + op, Resource: table.ARN})
				why, needs := needed[short+" "+op]
				if needs && !may {
					t.Errorf("%s calls ledger.%s and may not %s on %s", f.LogicalID, why, op, table.LogicalID)
				}
				if may && !needs {
					t.Errorf("%s may %s on %s, and nothing in %s does", f.LogicalID, op, table.LogicalID, filepath.Join("functions", folder(f)))
				}
			}
		}
	}
}
