package sdkhost

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
)

// Names are the 17 functions that Tencent's library exports: all of its versions, and no others.
func Names() []string {
	return []string{
		"NewSdk", "Init", "GetChatData", "DecryptData", "GetMediaData", "DestroySdk",
		"NewSlice", "FreeSlice", "GetContentFromSlice", "GetSliceLen",
		"NewMediaData", "FreeMediaData", "GetOutIndexBuf", "GetData", "GetIndexLen", "GetDataLen", "IsMediaDataFinish",
	}
}

// FileError is a file that can't serve as the library.
type FileError struct {
	Word     string // one of frames' Word constants
	Sentence string // what is wrong and what to do
}

func (e *FileError) Error() string { return e.Sentence }

func fileErrorf(word, format string, args ...any) error {
	return &FileError{Word: word, Sentence: fmt.Sprintf(format, args...)}
}

// Inspect reads the file at path, without loading it, and returns a *FileError if it can't be the library for this processor: absent,
// no shared object, built for another architecture, or without one of Names.
func Inspect(path string) error { return InspectFor(path, runtime.GOARCH) }

// InspectFor is Inspect for another processor than this machine's: goarch is Go's word for it, amd64 or arm64.
func InspectFor(path, goarch string) error {
	const get = "download the Linux SDK from WeCom's archive page (会话内容存档) and give the path of its libWeWorkFinanceSdk_C.so"
	if !filepath.IsAbs(path) {
		return fileErrorf(frames.WordMissing, "the library's path %q is not absolute; %s", path, get)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fileErrorf(frames.WordMissing, "there is no file at %s; %s", path, get)
	case err != nil:
		return fileErrorf(frames.WordMissing, "the library at %s can't be read (%s); check the permissions", path, reason(err))
	case !info.Mode().IsRegular():
		return fileErrorf(frames.WordNotALibrary, "%s is not a file; %s", path, get)
	}
	file, err := os.Open(path) // the operator's own path
	if err != nil {
		return fileErrorf(frames.WordMissing, "the library at %s can't be read (%s); check the permissions", path, reason(err))
	}
	defer file.Close() // read only
	return inspect(path, file, goarch, get)
}

func inspect(path string, file io.ReaderAt, goarch, get string) error {
	lib, err := elf.NewFile(file)
	if err != nil {
		return fileErrorf(frames.WordNotALibrary, "%s is no Linux library; %s", path, get)
	}
	if want, ok := machine(goarch); !ok || lib.Machine != want || lib.Class != elf.ELFCLASS64 {
		return fileErrorf(frames.WordWrongArchitecture,
			"the library at %s is built for %s, the process that loads it runs on %s; take the %s build of the SDK",
			path, architecture(lib), goarch, vendorWord(goarch))
	}
	if lib.Type != elf.ET_DYN {
		return fileErrorf(frames.WordNotALibrary, "%s is not a shared library; %s", path, get)
	}
	symbols, err := lib.DynamicSymbols()
	if err != nil {
		return fileErrorf(frames.WordNotALibrary, "%s exports nothing; %s", path, get)
	}
	exported := map[string]bool{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			exported[s.Name] = true
		}
	}
	var missing []string
	for _, name := range Names() {
		if !exported[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fileErrorf(frames.WordNotALibrary, "%s is a library, but not Tencent's Finance SDK: it lacks %s; %s",
			path, strings.Join(missing, ", "), get)
	}
	return nil
}

// reason is the system's word for err without the path, which the sentence already names.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func machine(goarch string) (elf.Machine, bool) {
	switch goarch {
	case "amd64":
		return elf.EM_X86_64, true
	case "arm64":
		return elf.EM_AARCH64, true
	default:
		return elf.EM_NONE, false
	}
}

func architecture(lib *elf.File) string {
	switch lib.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_386:
		return "386 (32 bits)"
	case elf.EM_ARM:
		return "arm (32 bits)"
	default:
		return lib.Machine.String()
	}
}

func vendorWord(goarch string) string {
	if goarch == "amd64" {
		return "x86"
	}
	return "arm"
}
