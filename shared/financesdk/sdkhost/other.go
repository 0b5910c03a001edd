//go:build !linux

package sdkhost

import (
	"os"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
)

// run refuses: Tencent ships the library for Linux and Windows, and only Linux is supported.
func run(_, out int) int {
	answers := os.NewFile(uintptr(out), "answers")
	if answers == nil {
		return 1
	}
	if err := frames.Write(answers, &frames.Failed{
		Word:     frames.WordUnsupported,
		Sentence: "Tencent's library can be loaded on Linux only; elsewhere set SDK_HOST to a simulated host",
	}); err != nil {
		return 1
	}
	return 0
}
