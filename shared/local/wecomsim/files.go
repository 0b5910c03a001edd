package wecomsim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" // #nosec G501 -- WeCom's md5sum is an MD5; nothing here is protected by it
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

// newFile describes a file of size bytes that begins with head and goes on with bytes made from seed. Its sdkfileid is made from
// both, so that the same file has the same id again.
func newFile(corp, name string, head, seed []byte, size, stored int64) (file, error) {
	if size < int64(len(head)) {
		return file{}, fmt.Errorf("file %q is shorter than its own head", name)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%x\n%x", corp, name, size, seed, sha256.Sum256(head)))
	f := file{ID: fileID(corp, sum[:]), Name: name, Size: size, Head: head, Seed: sum[:], Stored: stored}
	h := md5.New() // #nosec G401 -- see the import
	buf := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), size-at)]
		if err := f.readPlain(at, part); err != nil {
			return file{}, err
		}
		h.Write(part)
	}
	f.MD5 = hex.EncodeToString(h.Sum(nil))
	return f, nil
}

// fileID makes a long text of base64, as sdkfileids are.
func fileID(corp string, sum []byte) string {
	var b strings.Builder
	b.WriteString("wecomsim;not-tencent;")
	b.WriteString(corp)
	b.WriteByte(';')
	for i := range uint32(16) {
		part := sha256.Sum256(binary.BigEndian.AppendUint32(sum, i))
		b.WriteString(hex.EncodeToString(part[:]))
	}
	return base64.StdEncoding.EncodeToString([]byte(b.String()))
}

// readPlain fills part with the file's bytes from offset on.
func (f *file) readPlain(offset int64, part []byte) error {
	n := 0
	if offset < int64(len(f.Head)) {
		n = copy(part, f.Head[offset:])
	}
	if n == len(part) {
		return nil
	}
	from := offset + int64(n)
	c, err := aes.NewCipher(f.Seed)
	if err != nil {
		return fmt.Errorf("making the bytes of a file: %w", err)
	}
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(from)/aes.BlockSize)
	stream := cipher.NewCTR(c, counter[:])
	skip := make([]byte, from%aes.BlockSize)
	stream.XORKeyStream(skip, skip)
	clear(part[n:])
	stream.XORKeyStream(part[n:], part[n:])
	return nil
}

// read fills part with the padded, not yet sealed object from offset on.
func (f *file) read(offset int64, part []byte) error {
	inFile := max(0, min(int64(len(part)), f.Size-offset))
	if inFile > 0 {
		if err := f.readPlain(offset, part[:inFile]); err != nil {
			return err
		}
	}
	if inFile < int64(len(part)) {
		pad := simcipher.Padding(f.Size)
		copy(part[inFile:], pad[max(0, offset-f.Size):])
	}
	return nil
}
