package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// The environment's names for what infra/local/permissions asks of every process that evaluates roles.
const (
	// UsedPermissions is a file to which each use of a permission is added: who used it, a tab, the permission.
	UsedPermissions = "WECOMVAULT_PERMISSIONS_USED"
	// WithoutPermission is a permission that no role has, whatever the template says.
	WithoutPermission = "WECOMVAULT_PERMISSION_WITHOUT"
)

// Permission is one action on one resource, both as the template spells them, that a statement allows a function.
type Permission struct{ Function, Sid, Action, Resource string }

func (p Permission) String() string {
	return strings.Join([]string{p.Function, p.Sid, p.Action, p.Resource}, " ")
}

// Permissions lists what the template's roles allow its functions, in the template's order.
func Permissions(t *template.Template) ([]Permission, error) {
	var out []Permission
	for _, f := range t.Functions {
		policies, err := policiesOf(t, f)
		if err != nil {
			return nil, err
		}
		for _, s := range policies {
			if s.Effect != "Allow" {
				continue
			}
			for _, a := range s.Action {
				for _, r := range s.Resource {
					out = append(out, Permission{f.LogicalID, s.Sid, a, r})
				}
			}
		}
	}
	return out, nil
}

// watch evaluates a function's policies, less one permission, and tells of each permission that was used for the first time.
type watch struct {
	function string
	policies iam.Policies // one action and one resource a statement
	used     func(Permission) error

	mu   sync.Mutex
	told map[Permission]bool
}

// watched returns how a function's requests are decided if the environment asks for more than the decision, or nil.
func watched(function, who string, policies iam.Policies) func(authz.Request) bool {
	file, without := os.Getenv(UsedPermissions), os.Getenv(WithoutPermission)
	if file == "" && without == "" {
		return nil
	}
	w := &watch{function: function, told: map[Permission]bool{}}
	if file != "" {
		w.used = func(p Permission) error { return appendLine(file, who+"\t"+p.String()) }
	}
	for _, s := range policies {
		if s.Effect != "Allow" {
			w.policies = append(w.policies, s)
			continue
		}
		for _, a := range s.Action {
			for _, r := range s.Resource {
				if (Permission{function, s.Sid, a, r}).String() == without {
					continue
				}
				one := s
				one.Action, one.Resource = []string{a}, []string{r}
				w.policies = append(w.policies, one)
			}
		}
	}
	return w.allowed
}

func (w *watch) allowed(r authz.Request) bool {
	if !w.policies.Allowed(r) {
		return false
	}
	if w.used == nil {
		return true
	}
	for _, s := range w.policies {
		if s.Effect != "Allow" || !(iam.Policies{s}).Allowed(r) {
			continue
		}
		p := Permission{w.function, s.Sid, s.Action[0], s.Resource[0]}
		w.mu.Lock()
		known := w.told[p]
		w.told[p] = true
		w.mu.Unlock()
		if known {
			continue
		}
		if err := w.used(p); err != nil {
			panic(fmt.Sprintf("%s is set and can't be written: %v", UsedPermissions, err))
		}
	}
	return true
}

// appendLine adds a line in one write, so that processes side by side do not mix theirs.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- the operator's own environment names it
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// program is the name under which a process uses permissions if it has no better one.
func program() string { return filepath.Base(os.Args[0]) }

func policiesOf(t *template.Template, f template.Function) (iam.Policies, error) {
	role, ok := t.Role(f.RoleARN)
	if !ok {
		return nil, fmt.Errorf("function %s has no role in the template", f.LogicalID)
	}
	var policies iam.Policies
	for _, document := range role.Policies {
		p, err := iam.Parse(document)
		if err != nil {
			return nil, fmt.Errorf("read a policy of %s (%s line %d): %w", role.LogicalID, t.Path, role.Line, err)
		}
		policies = append(policies, p...)
	}
	return slices.Clip(policies), nil
}
