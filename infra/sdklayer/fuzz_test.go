package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// smallest is the head of a shared library for x86_64 with one section header of each kind that the reader looks into, all of them empty.
func smallest(f *testing.F) []byte {
	f.Helper()
	const head, row = 64, 64
	names := "\x00.shstrtab\x00.dynamic\x00.dynstr\x00.gnu.version_r\x00.dynsym\x00.gnu.version\x00"
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: head, Phentsize: 56, Shentsize: row, Shnum: 7, Shstrndx: 1}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	needed := make([]byte, 32)
	binary.LittleEndian.PutUint64(needed, uint64(elf.DT_NEEDED))
	binary.LittleEndian.PutUint64(needed[8:], 1)
	libraries := "\x00libc.so.6\x00GLIBC_2.34\x00"
	version := make([]byte, 32)
	binary.LittleEndian.PutUint16(version, 1)      // of the form
	binary.LittleEndian.PutUint16(version[2:], 1)  // versions
	binary.LittleEndian.PutUint32(version[4:], 1)  // the library's name
	binary.LittleEndian.PutUint32(version[8:], 16) // where the first version is
	binary.LittleEndian.PutUint32(version[24:], 11)
	parts := []struct {
		name, link uint32
		kind       elf.SectionType
		content    []byte
	}{{}, {1, 0, elf.SHT_STRTAB, []byte(names)}, {11, 3, elf.SHT_DYNAMIC, needed}, {20, 0, elf.SHT_STRTAB, []byte(libraries)}, {28, 3, elf.SHT_GNU_VERNEED, version},
		{43, 3, elf.SHT_DYNSYM, make([]byte, 2*elf.Sym64Size)}, {51, 5, elf.SHT_GNU_VERSYM, make([]byte, 4)}}
	var body bytes.Buffer
	rows := make([]elf.Section64, len(parts))
	for i, p := range parts {
		rows[i] = elf.Section64{Name: p.name, Type: uint32(p.kind), Off: uint64(head + body.Len()), Size: uint64(len(p.content)), Link: p.link, Info: 1, Addralign: 1}
		body.Write(p.content)
	}
	rows[0] = elf.Section64{}
	h.Shoff = uint64(head + body.Len())
	var all bytes.Buffer
	for _, part := range []any{&h, body.Bytes(), rows} {
		if err := binary.Write(&all, binary.LittleEndian, part); err != nil {
			f.Fatal(err)
		}
	}
	return all.Bytes()
}

// FuzzLibrary: whatever is given as a library, it is judged: either as what may go into the layer, or by one sentence that names the file.
func FuzzLibrary(f *testing.F) {
	good := smallest(f)
	if got, err := examine("given.so", good, "libWeWorkFinanceSdk_C.so"); err != nil || len(got.Needs) != 1 || got.Needs[0] != "libc.so.6" {
		f.Fatalf("the smallest library is judged %+v, %v", got, err)
	}
	newer := bytes.Replace(good, []byte("GLIBC_2.34"), []byte("GLIBC_2.39"), 1)
	if _, err := examine("given.so", newer, "libWeWorkFinanceSdk_C.so"); err == nil || !strings.Contains(err.Error(), "GLIBC_2.39") {
		f.Fatalf("one for a newer C library than Lambda's: %v", err)
	}
	f.Add(good)
	f.Add(newer)
	f.Add(good[:len(good)-1])
	f.Add(good[:64])
	f.Add([]byte(elf.ELFMAG))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := examine("given.so", raw, "libWeWorkFinanceSdk_C.so")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "given.so ") {
				t.Errorf("the sentence %q does not name the file", err)
			}
			return
		}
		if got.Bytes != len(raw) || len(got.SHA256) != 64 || !bytes.HasPrefix(raw, []byte(elf.ELFMAG)) {
			t.Errorf("it may go into the layer as %+v", got)
		}
		lib, err := elf.NewFile(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		// Without a table of versions there is an error, and nothing that is too new.
		versions, err := lib.DynamicVersionNeeds()
		for _, v := range versions {
			for _, n := range v.Needs {
				if err == nil && n.Dep == "GLIBC_2.39" {
					t.Errorf("a library that needs %s may go into the layer", n.Dep)
				}
			}
		}
	})
}
