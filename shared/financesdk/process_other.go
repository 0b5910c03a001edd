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
		_ = c.cmd.Wait() // how it ended is no reason
	}()
	return nil
}

func (c *child) killGroup() {
	c.kill.Lock()
	defer c.kill.Unlock()
	_ = c.cmd.Process.Kill() // it may have ended by itself
}
