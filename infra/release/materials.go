package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The part of CycloneDX 1.6 that is used: https://cyclonedx.org/docs/1.6/json/.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp time.Time `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Hashes     []digest   `json:"hashes,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	digest struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// materials is the bill of what is in the programs, as their own build information has it: each program with its digest, each module that is
// linked into one with its version and its checksum of go.sum, and the Go toolchain's own library. What go.mod names and no program holds
// is not in it.
func materials(files map[string]file, version string, stamp time.Time) (text []byte, modules int, err error) {
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Metadata.Timestamp = stamp
	b.Metadata.Component = component{Type: "application", Ref: "wecomvault", Name: "wecomvault", Version: version}
	libraries := map[string]component{}
	var programs []string
	for _, name := range names(files) {
		info, err := buildinfo.Read(bytes.NewReader(files[name].content))
		if err != nil {
			if files[name].program {
				return nil, 0, fmt.Errorf("the program %s does not say what it is made of: %w", name, err)
			}
			continue
		}
		ref := "program:" + name
		used := []string{}
		add := func(path, version, sum string) {
			c := component{Type: "library", Name: path, Version: version, PURL: "pkg:golang/" + escape(path) + "@" + url.PathEscape(version)}
			if sum != "" {
				c.Properties = []property{{Name: "go:sum", Value: sum}}
			}
			c.Ref = c.PURL
			libraries[c.Ref] = c
			used = append(used, c.Ref)
		}
		goVersion, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
		add("std", goVersion, "")
		for _, d := range info.Deps {
			m := d
			if d.Replace != nil {
				m = d.Replace
			}
			add(m.Path, m.Version, m.Sum)
		}
		slices.Sort(used)
		b.Components = append(b.Components, component{
			Type: "application", Ref: ref, Name: name, Version: version,
			Hashes: []digest{{Algorithm: "SHA-256", Content: fmt.Sprintf("%x", sha256.Sum256(files[name].content))}},
		})
		b.Dependencies = append(b.Dependencies, dependency{Ref: ref, DependsOn: used})
		programs = append(programs, ref)
	}
	if len(programs) == 0 {
		return nil, 0, errors.New("no program is among the files")
	}
	b.Dependencies = append(b.Dependencies, dependency{Ref: "wecomvault", DependsOn: programs})
	for _, ref := range slices.Sorted(maps.Keys(libraries)) {
		b.Components = append(b.Components, libraries[ref])
	}
	text, err = json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), len(libraries), err
}

// escape writes a module's path as a purl wants it: each segment escaped, the slashes kept.
func escape(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}
