package lambdahost

// Deploy does to running functions what a deployment does: invocations that are under way end in the environments that have them, which are
// then ended; every invocation that begins after it gets an environment with the program that Options.Binary names by then. As on
// Lambda, old and new programs run beside each other for a while.
func (h *Host) Deploy() {
	for _, id := range h.order {
		f := h.functions[id]
		f.mu.Lock()
		f.deployed++
		idle := f.idle
		f.idle = nil
		for env := range f.all {
			f.all[env] = false
		}
		for _, env := range idle {
			delete(f.all, env)
		}
		f.mu.Unlock()
		for _, env := range idle {
			env.end()
		}
	}
}
