package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/financesdk/sdkhost"
)

// goarch is the processor of the functions that load the library (template.yaml: x86_64), whatever this machine has.
const goarch = "amd64"

// glibc is the C library of Lambda's provided.al2023: 2.34.
const glibcMinor = 34

// releases are published libraries that this project has had in hand and loaded, by the SHA-256 of the file.
func releases() map[string]string {
	return map[string]string{"79ced4de6b18d5e96a21cd06f325794dc8957f8925120538d56d4ce827d3dfd0": "3.0 (20250205)"}
}

// file is one library as it goes into the layer.
type file struct {
	Name    string   `json:"name"` // in the layer's lib/
	SHA256  string   `json:"sha256"`
	Bytes   int      `json:"bytes"`
	Version string   `json:"version,omitempty"` // "unknown" for a release whose digest is not in releases
	Needs   []string `json:"needs"`             // other libraries that it asks the loader for

	content []byte
}

// getIt is what to do about anything that is not the library.
const getIt = "give the path of libWeWorkFinanceSdk_C.so out of the SDK for Linux x86, from WeCom's archive page (会话内容存档)"

// beginnings are forms in which the library arrives when it is not yet, or not, the library.
func beginnings() []struct{ magic, sentence string } {
	return []struct{ magic, sentence string }{
		{"PK\x03\x04", "is a zip archive: unpack it and give the path of the libWeWorkFinanceSdk_C.so inside"},
		{"\x1f\x8b", "is a compressed archive (.tgz): unpack it and give the path of the libWeWorkFinanceSdk_C.so inside"},
		{"MZ", "is a Windows library: Lambda runs Linux; " + getIt},
		{"\xcf\xfa\xed\xfe", "is a macOS library: Lambda runs Linux; " + getIt},
		{"\xca\xfe\xba\xbe", "is a macOS library or a Java class: Lambda runs Linux; " + getIt},
		{"!<arch>\n", "is an archive of object files (.a): a function loads the shared one; " + getIt},
	}
}

// readLibrary reads and judges the library at path. Its errors are one sentence that says what is wrong and what to do.
func readLibrary(path string) (file, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return file{}, fmt.Errorf("find %s: %w", path, err)
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		for _, b := range beginnings() {
			if bytes.HasPrefix(raw, []byte(b.magic)) {
				return file{}, fmt.Errorf("%s %s", path, b.sentence)
			}
		}
		// A library's table of contents is its last part: a copy that broke off has its head, and lacks that.
		if _, err := elf.NewFile(bytes.NewReader(raw)); err != nil && bytes.HasPrefix(raw, []byte(elf.ELFMAG)) {
			return file{}, fmt.Errorf("%s is cut or damaged (%d bytes): take it again", path, len(raw))
		}
	}
	if err := sdkhost.InspectFor(path, goarch); err != nil {
		return file{}, err
	}
	if err != nil {
		return file{}, fmt.Errorf("read the library: %w", err)
	}
	f, err := examine(path, raw, "libWeWorkFinanceSdk_C.so")
	if err != nil {
		return file{}, err
	}
	f.Version = "unknown"
	if v, ok := releases()[f.SHA256]; ok {
		f.Version = v
	}
	return f, nil
}

// readLibz reads and judges the copy of libz that is to lie beside the library.
func readLibz(path string) (file, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return file{}, fmt.Errorf("read libz: %w", err)
	}
	f, err := examine(path, raw, "libz.so.1")
	if err != nil {
		return file{}, err
	}
	lib, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return file{}, fmt.Errorf("%s is no Linux library; give the libz.so.1 of a Linux x86_64 system: %w", path, err)
	}
	if names, err := lib.DynString(elf.DT_SONAME); err != nil || !slices.Contains(names, "libz.so.1") {
		return file{}, fmt.Errorf("%s does not call itself libz.so.1, so the loader would not take it for that; give the libz.so.1 of a Linux x86_64 system", path)
	}
	return f, nil
}

// examine checks what any library of the layer must be: for Lambda's processor, and for no newer C library than Lambda's.
func examine(path string, raw []byte, name string) (file, error) {
	lib, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return file{}, fmt.Errorf("%s is no Linux library", path)
	}
	if lib.Machine != elf.EM_X86_64 || lib.Class != elf.ELFCLASS64 || lib.Type != elf.ET_DYN {
		return file{}, fmt.Errorf("%s is no shared library for x86_64 but %s, %s: the functions that load it run on x86_64", path, lib.Machine, lib.Type)
	}
	needs, err := lib.ImportedLibraries()
	if err != nil {
		return file{}, fmt.Errorf("%s does not say which libraries it needs; the copy is damaged, take it again", path)
	}
	versions, err := lib.DynamicVersionNeeds()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return file{}, fmt.Errorf("%s does not say which versions it needs; the copy is damaged, take it again", path)
	}
	for _, v := range versions {
		for _, need := range v.Needs {
			minor, ok := strings.CutPrefix(need.Dep, "GLIBC_2.")
			minor, _, _ = strings.Cut(minor, ".")
			if n, err := strconv.Atoi(minor); ok && err == nil && n > glibcMinor {
				return file{}, fmt.Errorf("%s needs %s of %s, and Lambda's provided.al2023 has glibc 2.%d: take a build for an older Linux", path, need.Dep, v.Name, glibcMinor)
			}
		}
	}
	sum := sha256.Sum256(raw)
	return file{Name: name, SHA256: hex.EncodeToString(sum[:]), Bytes: len(raw), Needs: needs, content: raw}, nil
}
