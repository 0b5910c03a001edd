package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// vital is what a process holds.
type vital struct {
	memory      float64 // MB of its own, without mapped files
	descriptors float64
	processes   float64
}

func (v vital) most(o vital) vital {
	return vital{max(v.memory, o.memory), max(v.descriptors, o.descriptors), max(v.processes, o.processes)}
}

// vitals keeps, by day and by kind of process, the most that any of them held.
type vitals map[int]map[string]vital

// A kind of process may hold so much more on the last day than on the second, in which all has been seen once: a part, and an amount that
// heaps and pools breathe by. How many there are follows from what happens at the same time, and has limits of its own: the host keeps at most
// ten environments of a function, and each of them a child for each company.
const (
	growth            = 1.25
	breathMB          = 12
	breathDescriptors = 12 // two children more
	mostEnvironments  = 10
	companies         = 3
)

// endpoints is this program, in which the endpoints and the Lambda host live.
const endpoints = "(the endpoints, for each process)"

// childOf names the children of a function's processes.
const childOf = "'s child"

// look notes what the processes of a kind hold now. A process that is gone meanwhile counts as nothing.
func (v vitals) look(day int, kind string, pids ...int) { v.lookFor(day, kind, 1, pids...) }

// lookFor notes it with the descriptors shared out among so many that they serve.
func (v vitals) lookFor(day int, kind string, served float64, pids ...int) {
	if v[day] == nil {
		v[day] = map[string]vital{}
	}
	now := vital{}
	for _, pid := range pids {
		memory, descriptors, ok := held(pid)
		if ok {
			now.processes++
			now.memory, now.descriptors = max(now.memory, memory), max(now.descriptors, descriptors/served)
		}
	}
	v[day][kind] = v[day][kind].most(now)
}

// held reads what a process holds from /proc; ok is false where there is none.
func held(pid int) (memoryMB, descriptors float64, ok bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	text, err := os.ReadFile(filepath.Join(dir, "status")) // #nosec G304 -- of the kernel
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "RssAnon:"); found {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			if err != nil {
				return 0, 0, false
			}
			memoryMB = kb / 1024
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	return memoryMB, float64(len(entries)), err == nil
}

// children lists the processes that a process has started.
func children(pid int) []int {
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return nil
	}
	var list []int
	for _, path := range tasks {
		text, err := os.ReadFile(path) // #nosec G304 -- of the kernel
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// settle gives back what the garbage collector holds of this process, so that its endpoints are seen and not its pauses.
func (v vitals) settle() { debug.FreeOSMemory() }

// grown lists the kinds that hold more on the last day than they may.
func (v vitals) grown(first, last int) []string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(v[last])) {
		was, is := v[first][kind], v[last][kind]
		if was.processes == 0 || is.processes == 0 {
			continue
		}
		if is.memory > was.memory*growth+breathMB {
			list = append(list, fmt.Sprintf("%s grew: %.1f MB on day %d, %.1f on day %d", kind, was.memory, first, is.memory, last))
		}
		if is.descriptors > was.descriptors*growth+breathDescriptors {
			list = append(list, fmt.Sprintf("%s grew: %.1f descriptors on day %d, %.1f on day %d", kind, was.descriptors, first, is.descriptors, last))
		}
		most := float64(mostEnvironments)
		if strings.HasSuffix(kind, childOf) {
			most *= companies
		}
		if is.processes > most {
			list = append(list, fmt.Sprintf("%s: %.0f processes on day %d, more than %.0f", kind, is.processes, last, most))
		}
	}
	return list
}

func (v vitals) print(out io.Writer, first, last int) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "process\tMB on day %d\ton day %d\tdescriptors\t\tprocesses\t\t\n", first, last)
	for _, kind := range slices.Sorted(maps.Keys(v[last])) {
		a, b := v[first][kind], v[last][kind]
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", kind, a.memory, b.memory, a.descriptors, b.descriptors, a.processes, b.processes)
	}
	return t.Flush()
}
