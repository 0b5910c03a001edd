package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/house"
	progressline "github.com/wecomvault/wecomvault/shared/progress"
)

// ctlPatience is how long ctl waits for a run that is just beginning or ending, or for another ctl.
const ctlPatience = time.Minute

// ctl runs vaultctl against local data: through the endpoint of a program that is running over them, or else through endpoints of its own that
// end with it. Stdout is vaultctl's alone.
func ctl(ctx context.Context, args []string) int {
	data := ".local"
	if name := first(args); name == "-data" || name == "--data" {
		if len(args) < 2 {
			fmt.Fprintln(os.Stderr, "ctl: -data needs the folder of the local archive after it")
			return exitUsage
		}
		data, args = args[1], args[2:]
	} else if folder, ok := strings.CutPrefix(strings.TrimLeft(name, "-"), "data="); ok {
		data, args = folder, args[1:]
	}
	o, err := parseOptions([]string{"-data", data}, os.Stderr)
	if err == nil {
		err = house.CleanEnvironment()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ctl:", err)
		return exitUsage
	}
	code, err := o.ctl(ctx, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ctl:", err)
		return exitLost
	}
	return code
}

func (o options) ctl(ctx context.Context, args []string) (code int, err error) {
	if _, err := os.Stat(filepath.Join(o.data, "aws.db")); err != nil {
		return exitLost, fmt.Errorf("there is no local archive in %s: make run begins one, -data DIR before the command names another folder", o.data)
	}
	var f *folder
	var env map[string]string
	// Free, or in use by a run that says where it is. A run that is just beginning or ending, or another ctl, is waited for.
	free, err := house.Until(ctx, ctlPatience, func() (bool, error) {
		var busy error
		if f, busy = own(ctx, o.data, 0); busy == nil {
			return true, nil
		} else if !errors.Is(busy, errInUse) {
			return false, busy
		}
		var up bool
		env, up = announced(o.data)
		return up, nil
	})
	if err != nil {
		return exitLost, err
	}
	if !free {
		return exitLost, inUse(o.data)
	}
	if f == nil {
		return o.vaultctl(ctx, env, args)
	}
	defer func() { err = errors.Join(err, f.close()) }()
	simulator, wecom, err := house.Simulator(ctx, o.binaries, o.data)
	if err != nil {
		return exitLost, err
	}
	defer func() { err = errors.Join(err, simulator.Close()) }()
	o.library = remembered(o.data)
	h, err := house.Open(ctx, o.wiring(wecom))
	if err != nil {
		return exitLost, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	works := slices.Contains([]string{"keys", "redrive", "fsck"}, first(args))
	if works {
		// These put work into queues, or call a function: let it be done before the archive closes again.
		if err := h.Start(); err != nil {
			return exitLost, err
		}
	}
	code, err = o.vaultctl(ctx, h.Environment(), args)
	if err != nil || !works {
		return code, err
	}
	left, err := work(ctx, h, os.Stderr)
	if err == nil && left != "" && code == exitAccounted {
		fmt.Fprintln(os.Stderr, "ctl:", left)
		code = exitWaiting
	}
	return code, err
}

// work lets the functions do what a command has put into the queues, for as long as they get on with it, and says what is left then.
func work(ctx context.Context, h *house.House, log io.Writer) (left string, err error) {
	jobs, _ := h.Queued()
	if jobs == 0 {
		return "", nil
	}
	line := progressline.New(log, "what the command began", "jobs done", 0)
	defer line.Done()
	done, changed := 0, clock.Real()
	_, err = house.Until(ctx, time.Hour, func() (bool, error) {
		n, _ := h.Queued()
		if n != jobs {
			if n < jobs {
				done += jobs - n
			}
			jobs, changed = n, clock.Real()
		}
		line.Set(int64(done), int64(done+n))
		return n == 0 || clock.Real().Sub(changed) > ctlPatience, nil
	})
	if err != nil || jobs == 0 {
		return "", err
	}
	var where []string
	depths := h.Queues.Depths()
	for _, name := range slices.Sorted(maps.Keys(depths)) {
		if d := depths[name]; d.Visible+d.InFlight+d.Delayed > 0 && !strings.HasSuffix(name, deadLetters) {
			where = append(where, fmt.Sprintf("%s %d (%d in work or resting between two tries)", strings.TrimPrefix(name, "wecomvault-"), d.Visible+d.InFlight+d.Delayed, d.InFlight))
		}
	}
	return fmt.Sprintf("%d jobs are not done, and for %v none was: %s. Nothing is lost: they go on with the next make run or make ctl. What they wait for: "+
		"make ctl ARGS='doctor', and the functions' logs in %s", jobs, ctlPatience, strings.Join(where, ", "), filepath.Join(h.Data, "logs")), nil
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// vaultctl runs the operator's command. Its exit code is the answer; an error means that it could not be run.
func (o options) vaultctl(ctx context.Context, env map[string]string, args []string) (int, error) {
	cmd := house.Vaultctl(ctx, o.binaries, env, args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return exitAccounted, err
}
