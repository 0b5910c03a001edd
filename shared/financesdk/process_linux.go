package financesdk

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives the child a process group of its own, so that it can be killed with everything that the library may have started, and
// has the kernel kill it when we die.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// launch starts the process and reaps it when it ends.
//
// QUIRK: PR_SET_PDEATHSIG means the death of the thread that forked, not of the process; Go's threads come and go. So the thread that
// forks stays, and waits.
func (c *child) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.reap()
	}()
	return <-started
}

// reap waits for the end, ends what is left of the group while its number is still the child's, and only then lets the number go.
func (c *child) reap() {
	defer close(c.exited)
	for {
		err := unix.Waitid(unix.P_PID, c.pid(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.killGroup()
	c.kill.Lock()
	defer c.kill.Unlock()
	c.reaped = true
	_ = c.cmd.Wait() // how it ended is no reason: an abort comes as exit status 2
}

func (c *child) killGroup() {
	c.kill.Lock()
	defer c.kill.Unlock()
	if !c.reaped {
		_ = syscall.Kill(-c.pid(), syscall.SIGKILL) // it may have ended by itself
	}
}
