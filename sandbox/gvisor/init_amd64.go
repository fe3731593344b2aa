//go:build linux

package gvisor

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// initCode and guardCode are where the machine code of the two is, in this program.
func initCode() *byte
func guardCode() *byte

// InitProgram is what idles in a sandbox of a pool, as an executable: a header, one segment, and less than 300 bytes of
// code (init_amd64.s). It needs no file of the sandbox's root, and is gone when it has executed the workload. As a
// workload itself, with nothing on its standard input, it ends at once with status 127. The caller owns the memory.
func InitProgram() []byte { return executable(initCode()) }

// guardProgram is what ends a sandbox when nobody else can, as an executable: when its standard input ends, it kills the
// process of which descriptor 3 is. It is a page of memory.
func guardProgram() []byte { return executable(guardCode()) }

// executable makes a program of code that ends with two UNDEF.
func executable(code *byte) []byte {
	const (
		headers = 64 + 56 // of the file and of its segment
		base    = 0x400000
		most    = 512
	)
	text := unsafe.Slice(code, most) // of this program, which is larger
	length := bytes.Index(text, []byte{0x0f, 0x0b, 0x0f, 0x0b})
	text = text[:length]
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00") // 64 bits, little-endian, version 1
	put := binary.LittleEndian
	b = put.AppendUint16(b, 2)              // executable
	b = put.AppendUint16(b, 62)             // x86-64
	b = put.AppendUint32(b, 1)              // version
	b = put.AppendUint64(b, base+headers)   // entry
	b = put.AppendUint64(b, 64)             // segments are described here
	b = put.AppendUint64(b, 0)              // no sections
	b = put.AppendUint32(b, 0)              // flags
	for _, n := range []uint16{64, 56, 1} { // sizes of the headers; one segment
		b = put.AppendUint16(b, n)
	}
	b = append(b, make([]byte, 6)...) // no sections
	b = put.AppendUint32(b, 1)        // to be loaded,
	b = put.AppendUint32(b, 1|4)      // to be read and executed,
	size := uint64(headers + length)  //nolint:gosec // small
	for _, n := range []uint64{0, base, base, size, size, 4096} {
		b = put.AppendUint64(b, n)
	}
	return append(b, text...)
}
