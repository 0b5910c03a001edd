package lambdahost

import "syscall"

// attributes give the process a group of its own.
// QUIRK: macOS has no parent-death signal: functions outlive a host that is killed, and end when they next talk to it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// descendants can't be listed here without libproc; those in the group are reached through it.
func descendants(int) []int { return nil }
