//go:build !linux

package financesdk

import "os/exec"

// isolate does nothing: outside Linux only simulated hosts run, which end with their pipe.
func isolate(*exec.Cmd) {}

func (c *child) launch() error {
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(c.exited)
		c.cmd.Wait() //nolint:errcheck,gosec // how it ended is no reason
	}()
	return nil
}

func (c *child) killGroup() {
	c.kill.Lock()
	defer c.kill.Unlock()
	c.cmd.Process.Kill() //nolint:errcheck,gosec // it may have ended by itself
}
