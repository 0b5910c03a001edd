package house

import (
	"path/filepath"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// Deploy puts the functions of another build in the place of those that run: work that is under way ends in the old programs, what begins
// afterwards has the new ones. binaries is a folder as make build lays it out. The endpoints, and the programs that are no functions, stay.
func (h *House) Deploy(binaries string) {
	h.deployed.Store(&binaries)
	h.Host.Deploy()
}

// bootstrap is the path of a function's program.
func (h *House) bootstrap(f template.Function) string {
	binaries := h.Binaries
	if other := h.deployed.Load(); other != nil {
		binaries = *other
	}
	return filepath.Join(binaries, "functions", strings.TrimPrefix(f.Name, h.Template.StackName+"-"), "bootstrap")
}
