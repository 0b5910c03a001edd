package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The places that may hold no content.
const (
	logLines    = "log lines"
	metrics     = "metrics"
	queueBodies = "queue bodies"
	events      = "events"
	errorsOf    = "errors to Lambda"
	answers     = "answers to Lambda"
	tableKeys   = "table keys"
	objectKeys  = "object keys"
	coreDumps   = "core dumps"
	processes   = "process list"
)

// thing is one piece of a place: a file's text, a message's body, a key.
type thing struct {
	name string
	data []byte
}

type place struct {
	name   string
	things []thing
}

func (p place) size() int {
	n := 0
	for _, t := range p.things {
		n += len(t.data)
	}
	return n
}

// search returns one line for each find.
func (p place) search(s *searcher) []string {
	var out []string
	for _, t := range p.things {
		for _, f := range s.search(t.data) {
			out = append(out, fmt.Sprintf("a canary of kind %q, written %s, in %s", f.Kind, f.Written, t.name))
		}
	}
	return out
}

// gathered is what passes by during the run, and can't be looked up afterwards. Equal things are kept once.
type gathered struct {
	mu   sync.Mutex
	seen map[string]bool
	all  map[string][]thing
}

func (g *gathered) add(place, name string, data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil {
		g.seen, g.all = map[string]bool{}, map[string][]thing{}
	}
	key := place + "\x00" + string(data)
	if !g.seen[key] && len(data) > 0 {
		g.seen[key] = true
		g.all[place] = append(g.all[place], thing{name, bytes.Clone(data)})
	}
}

func (g *gathered) of(place string) []thing {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all[place]
}

// places gathers all that is to be searched.
func (p *played) places(ctx context.Context) ([]place, error) {
	lines, figures, err := p.logs()
	if err != nil {
		return nil, err
	}
	rows, err := p.rows(ctx)
	if err != nil {
		return nil, err
	}
	objects, err := p.objects(ctx)
	if err != nil {
		return nil, err
	}
	dumps, err := p.dumps()
	if err != nil {
		return nil, err
	}
	out := []place{{logLines, lines}, {metrics, figures}}
	for _, name := range []string{queueBodies, events, errorsOf, answers, processes} {
		out = append(out, place{name, p.seen.of(name)})
	}
	return append(out, place{tableKeys, rows}, place{objectKeys, objects}, place{coreDumps, dumps}), nil
}

// logs are the files that functions, endpoints and children wrote, a line at a time; metrics are lines among them.
func (p *played) logs() (lines, figures []thing, err error) {
	files, err := filepath.Glob(filepath.Join(p.o.folders.Data, "logs", "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304 -- of the run's own folder
		if err != nil {
			return nil, nil, fmt.Errorf("read the logs: %w", err)
		}
		n := 0
		scanner := bufio.NewScanner(bytes.NewReader(text))
		scanner.Buffer(nil, len(text)+1)
		for scanner.Scan() {
			n++
			t := thing{filepath.Base(file) + ":" + strconv.Itoa(n), bytes.Clone(scanner.Bytes())}
			lines = append(lines, t)
			if bytes.Contains(t.data, []byte(`"_aws"`)) {
				figures = append(figures, t)
			}
		}
	}
	return lines, figures, nil
}

// rows are the keys of every row of every table.
func (p *played) rows(ctx context.Context) ([]thing, error) {
	client := dynamodb.NewFromConfig(p.Config(operator))
	var out []thing
	for _, table := range p.Template.Tables {
		pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: aws.String(table.Name)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("list table %s: %w", table.LogicalID, err)
			}
			for _, row := range page.Items {
				for _, part := range table.Key {
					if v, ok := row[part.Name].(*types.AttributeValueMemberS); ok {
						out = append(out, thing{table.LogicalID, []byte(v.Value)})
					}
				}
			}
		}
	}
	return out, nil
}

// objects are the names of every version of every object, and of uploads under way.
func (p *played) objects(ctx context.Context) ([]thing, error) {
	client := s3.NewFromConfig(p.Config(operator), func(o *s3.Options) { o.UsePathStyle = true })
	var out []thing
	for _, bucket := range p.Template.Buckets {
		pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: aws.String(bucket.Name)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("list bucket %s: %w", bucket.LogicalID, err)
			}
			for _, v := range page.Versions {
				out = append(out, thing{bucket.LogicalID, []byte(aws.ToString(v.Key))})
			}
		}
		uploads, err := client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket.Name)})
		if err != nil {
			return nil, fmt.Errorf("list the uploads of bucket %s: %w", bucket.LogicalID, err)
		}
		for _, u := range uploads.Uploads {
			out = append(out, thing{bucket.LogicalID, []byte(aws.ToString(u.Key))})
		}
	}
	return out, nil
}

// dumps are core dumps in the folders that a process of the run may write one to: the data, the temporary ones, the program's own.
func (p *played) dumps() ([]thing, error) {
	own, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	var files []string
	err = filepath.WalkDir(p.o.folders.Data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it ended while it was looked at
		}
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for core dumps: %w", err)
	}
	for _, dir := range []string{own, os.TempDir(), p.o.folders.Binaries} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("look for core dumps: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && info.Mode().IsRegular() && strings.HasPrefix(e.Name(), "core") && info.ModTime().After(p.began) {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	var out []thing
	for _, path := range files {
		if !isCore(path) {
			continue
		}
		data, err := os.ReadFile(path) // #nosec G304 -- of the run's own folders
		if err != nil {
			return nil, fmt.Errorf("read a core dump: %w", err)
		}
		out = append(out, thing{path, data})
	}
	return out, nil
}

// open lists the files and folders of the data that others than the user may reach, or could but for the folder around them.
func (p *played) open() ([]string, error) {
	var out []string
	err := filepath.WalkDir(p.o.folders.Data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was there while it was looked at
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 && info.Mode().Type()&fs.ModeSymlink == 0 {
			out = append(out, fmt.Sprintf("%v %s", info.Mode(), path))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the modes of files: %w", err)
	}
	return out, nil
}

// isCore says whether a file is an ELF core dump.
func isCore(path string) bool {
	file, err := os.Open(path) // #nosec G304 -- of the run's own folders
	if err != nil {
		return false
	}
	var head [18]byte
	_, err = io.ReadFull(file, head[:])
	return errors.Join(err, file.Close()) == nil && string(head[:4]) == "\x7fELF" && head[16] == coreType
}

// coreType is e_type of a core dump.
const coreType = 4

// watchProcesses reads the command line and the environment of every process that descends from this one, again and again.
func (p *played) watchProcesses(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, pid := range descendants(os.Getpid()) {
			for _, file := range []string{"cmdline", "environ"} {
				// A process that has just ended has neither.
				if data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file)); err == nil {
					p.seen.add(processes, file+" of "+name(pid), data)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// name is what a process is called.
func name(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return "a process that has ended"
	}
	return strings.TrimSpace(string(text))
}

// descendants lists the processes that a process has started, and those that they have.
func descendants(root int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// The second field may hold anything, in brackets.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var out []int
	for next := children[root]; len(next) > 0; {
		pid := next[0]
		out = append(out, pid)
		next = append(next[1:], children[pid]...)
	}
	return out
}
