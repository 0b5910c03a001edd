// Package sdkhost owns the child's side of financesdk: it loads a library with the ABI of Tencent's Finance SDK and answers frames from
// it, one call at a time, through one handle. It must not know tokens, keys, the network or a log; whatever the library does to this
// process, the parent has lost nothing but the call.
//
// The library is taken for what it was seen to be: it aborts, prints, leaks and hangs. So nothing here tries to catch what it does.
package sdkhost

import (
	"os"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
)

// RunIfChild turns this process into the child, and does not return, if financesdk started it as one. It has to be the first call of
// the main function of each program that uses financesdk without a host of its own.
func RunIfChild() {
	if len(os.Args) == 2 && os.Args[1] == frames.HostArgument {
		os.Exit(run(frames.In, frames.Out))
	}
}
