//go:build !linux

package main

// quiet has nothing to do where only simulated parts run: the parent gives descriptors that lead nowhere.
func quiet() error { return nil }
