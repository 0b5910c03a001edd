//go:build !linux

package main_test

import "testing"

// small skips: only Linux mounts a small file system for a test.
func small(t *testing.T, _ string) string {
	t.Helper()
	t.Skip("a small file system can be mounted on Linux only")
	return ""
}

func remount(t *testing.T, _, _ string) { t.Helper() }
