package sdkhost

import (
	"os"
	"path/filepath"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
)

// library is the loaded file: Tencent's 17 functions. Handles and buffers are the library's own memory, which Go must neither move nor
// free.
type library struct {
	newSdk     func() unsafe.Pointer
	init       func(sdk unsafe.Pointer, corp, secret string) int32
	destroySdk func(sdk unsafe.Pointer)

	getChatData  func(sdk unsafe.Pointer, seq uint64, limit uint32, proxy, passwd string, timeout int32, slice unsafe.Pointer) int32
	decryptData  func(key, msg string, slice unsafe.Pointer) int32 // takes no handle, but wants an Init before it
	getMediaData func(sdk unsafe.Pointer, index, fileID, proxy, passwd string, timeout int32, media unsafe.Pointer) int32

	newSlice            func() unsafe.Pointer
	freeSlice           func(slice unsafe.Pointer)
	getContentFromSlice func(slice unsafe.Pointer) unsafe.Pointer
	getSliceLen         func(slice unsafe.Pointer) int32

	newMediaData      func() unsafe.Pointer
	freeMediaData     func(media unsafe.Pointer)
	getOutIndexBuf    func(media unsafe.Pointer) unsafe.Pointer
	getIndexLen       func(media unsafe.Pointer) int32
	getData           func(media unsafe.Pointer) unsafe.Pointer
	getDataLen        func(media unsafe.Pointer) int32
	isMediaDataFinish func(media unsafe.Pointer) int32
}

func load(path string) (*library, error) {
	if err := Inspect(path); err != nil {
		return nil, err
	}
	// The library needs libz, which a base image may lack. A copy beside it is loaded first: the loader then takes that one for the
	// name that the library asks for.
	libz := filepath.Join(filepath.Dir(path), "libz.so.1")
	if _, err := os.Stat(libz); err == nil {
		if _, err := purego.Dlopen(libz, purego.RTLD_NOW|purego.RTLD_LOCAL); err != nil {
			return nil, fileErrorf(frames.WordLoad, "%s does not load (%v); replace it or take it away", libz, err)
		}
	}
	// RTLD_LOCAL: the library exports an OpenSSL and a curl of its own by the thousand names.
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fileErrorf(frames.WordLoad, "the library at %s does not load: %v; it needs glibc and libz.so.1, which may lie beside it", path, err)
	}
	lib := &library{}
	for name, fn := range map[string]any{
		"NewSdk": &lib.newSdk, "Init": &lib.init, "DestroySdk": &lib.destroySdk,
		"GetChatData": &lib.getChatData, "DecryptData": &lib.decryptData, "GetMediaData": &lib.getMediaData,
		"NewSlice": &lib.newSlice, "FreeSlice": &lib.freeSlice,
		"GetContentFromSlice": &lib.getContentFromSlice, "GetSliceLen": &lib.getSliceLen,
		"NewMediaData": &lib.newMediaData, "FreeMediaData": &lib.freeMediaData,
		"GetOutIndexBuf": &lib.getOutIndexBuf, "GetIndexLen": &lib.getIndexLen,
		"GetData": &lib.getData, "GetDataLen": &lib.getDataLen, "IsMediaDataFinish": &lib.isMediaDataFinish,
	} {
		address, err := purego.Dlsym(handle, name)
		if err != nil || address == 0 {
			return nil, fileErrorf(frames.WordNotALibrary, "the library at %s has no %s", path, name)
		}
		purego.RegisterFunc(fn, address)
	}
	return lib, nil
}

// maxAnswer is what fits into a frame beside the other fields of an answer.
const maxAnswer = frames.MaxFrame - 1<<20

// content copies what a slice holds. A slice without a buffer, or with a length that can't be one, holds nothing.
func (l *library) content(slice unsafe.Pointer) (raw []byte, fits bool) {
	return copied(l.getContentFromSlice(slice), l.getSliceLen(slice))
}

func copied(buffer unsafe.Pointer, n int32) (raw []byte, fits bool) {
	if buffer == nil || n <= 0 {
		return nil, true
	}
	if n > maxAnswer {
		return nil, false
	}
	return append([]byte(nil), unsafe.Slice((*byte)(buffer), n)...), true //nolint:gosec // the library says that it holds n bytes there
}

// nextIndex copies the index of the next chunk. It goes back into the library as a C string, so it ends at its first NUL; and a library
// that gives the text without a length has still given it.
func (l *library) nextIndex(media unsafe.Pointer) string {
	const longest = 64 << 10
	buffer, n := l.getOutIndexBuf(media), int(l.getIndexLen(media))
	if buffer == nil {
		return ""
	}
	if n <= 0 || n > longest {
		n = longest
	}
	var text []byte
	for i := range n {
		c := *(*byte)(unsafe.Add(buffer, i))
		if c == 0 {
			break
		}
		text = append(text, c)
	}
	return string(text)
}
