package main_test

import (
	"syscall"
	"testing"
)

// small mounts a file system of its own, or skips: modes don't stop root, and a full disk must not be the machine's.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system can't be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// remount changes a file system of small's: "ro", "rw", or another size such as "size=200m".
func remount(t *testing.T, dir, how string) {
	t.Helper()
	var flags uintptr = syscall.MS_REMOUNT
	data := ""
	switch how {
	case "ro":
		flags |= syscall.MS_RDONLY
	case "rw":
	default:
		data = how
	}
	if err := syscall.Mount("", dir, "", flags, data); err != nil {
		t.Fatal(err)
	}
}
