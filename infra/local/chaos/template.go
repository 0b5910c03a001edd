package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// templateFile is the template as the runs have it.
const templateFile = "template.yaml"

// timeouts are what functions have here, in seconds, instead of minutes: a call that is answered after its caller's time-out is waited for. They are the
// only thing in which the template differs. Fetch keeps 10 s of its own for its farewell, and takes 15 s to be sure that a holder of a lease is dead;
// watch looks for 10 s before it believes that a corp stands still; fsck keeps 45 s for its farewell.
var timeouts = map[string]int{
	"FetchFunction": 30, "ProcessFunction": 8, "MediaFunction": 10, "DirectoryFunction": 8, "ConsentFunction": 8, "ReportFunction": 6, "MailFunction": 6, "TellFunction": 6, "FeedbackFunction": 6, "WatchFunction": 16, "RedriveFunction": 6, "FsckFunction": 53,
	"CallbackFunction": 4, "ApiFunction": 6,
}

var functionTimeout = regexp.MustCompile(`(?s)\n  (\w+Function):\n    Type: AWS::Serverless::Function\n.*?\n      Timeout: ([0-9]+)\n`)

// shortTemplate writes a template whose functions end after the given seconds; a function that is not named keeps its own.
func shortTemplate(from, to string, seconds map[string]int) error {
	text, err := os.ReadFile(from) // #nosec G304 -- the user names it
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	// From the end, so that places stay where they are.
	for _, at := range slices.Backward(functionTimeout.FindAllSubmatchIndex(text, -1)) {
		if n, ok := seconds[string(text[at[2]:at[3]])]; ok {
			text = slices.Concat(text[:at[4]], []byte(fmt.Sprint(n)), text[at[5]:])
		}
	}
	if err := os.WriteFile(filepath.Clean(to), text, 0o600); err != nil {
		return fmt.Errorf("write the template: %w", err)
	}
	return nil
}
