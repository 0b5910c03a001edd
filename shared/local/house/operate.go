package house

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Vaultctl is the operator's command, ready to be started, with what it needs to reach an archive in its environment.
func Vaultctl(ctx context.Context, binaries string, env map[string]string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "local", "vaultctl"), args...) // #nosec G204 -- the operator's own words
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// Operate runs the operator's command against this house, and returns its exit code and what it said. An error means that it could not be run.
func (h *House) Operate(ctx context.Context, args ...string) (code int, said string, err error) {
	text, err := Vaultctl(ctx, h.Binaries, h.Environment(), args).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), strings.TrimSpace(string(text)), nil
	}
	return 0, strings.TrimSpace(string(text)), err
}

// CleanEnvironment keeps settings meant for a real account away from the local one.
func CleanEnvironment() error {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AWS_") {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	return nil
}
