package main

import (
	"flag"
	"fmt"
	"slices"

	"github.com/wecomvault/wecomvault/shared/ledger"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// adminPublic is an account admin as settings prints it.
type adminPublic struct {
	Name     string         `json:"name"`
	Address  string         `json:"address"`
	Language string         `json:"language"`
	Reports  *[]report.Kind `json:"reports"` // at noon; null: the defaults
}

func adminsOf(c ledger.Corp) []adminPublic {
	out := []adminPublic{}
	for _, a := range c.Admins() {
		shown := adminPublic{Name: a.Name, Address: a.Address, Language: a.Language}
		if a.Reports != nil {
			shown.Reports = &a.Reports
		}
		out = append(out, shown)
	}
	return out
}

// adminChange is the flags by which settings changes one account admin. Who they are is corps set's.
type adminChange struct{ address, name, lang, reports *string }

func newAdminChange(f *flag.FlagSet) adminChange {
	return adminChange{f.String("admin", "", ""), f.String("admin-name", "", ""), f.String("admin-lang", "", ""), f.String("admin-reports", "", "")}
}

// apply changes the account admin in c.
func (ch adminChange) apply(c *ledger.Corp, said map[string]bool) error {
	changes := said["admin-name"] || said["admin-lang"] || said["admin-reports"]
	if said["admin"] != changes {
		return &usageError{"receivers settings: -admin ADDRESS goes with -admin-name, -admin-lang or -admin-reports"}
	}
	if !changes {
		return nil
	}
	admins := c.Admins()
	at := slices.IndexFunc(admins, func(a routing.AdminRow) bool { return routing.Mailbox(a.Address) == routing.Mailbox(*ch.address) })
	if at < 0 {
		return fmt.Errorf("corp %s has no account admin of this address: vaultctl corps set -corp %s -report-to ADDRESS,… says who they are, all of them", c.ID, c.ID)
	}
	if said["admin-name"] {
		admins[at].Name = *ch.name
	}
	if said["admin-lang"] {
		admins[at].Language = *ch.lang
	}
	if said["admin-reports"] {
		admins[at].Reports = nil
		if *ch.reports != "default" {
			var err error
			if admins[at].Reports, err = kinds(*ch.reports); err != nil {
				return err
			}
		}
	}
	admins, err := routing.CheckAdmins(admins)
	if err != nil {
		return err
	}
	c.ReportTo = nil
	for _, a := range admins {
		c.ReportTo = append(c.ReportTo, ledger.Receiver{Name: a.Name, Address: a.Address, Language: a.Language}.WithReports(a.Reports))
	}
	return nil
}
