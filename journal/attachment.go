package journal

import (
	"fmt"
	"sort"

	"github.com/sterlingrun/sterling/must"
)

// AttachmentSize is the size of an attachment's entry in a block; its bytes stand apart.
const AttachmentSize = 16

// Attachment is what an event carries beyond its record: see Details. Event is its index in the request or the block.
type Attachment struct {
	Event int
	Data  []byte
}

// attachmentEntry stands in a block for one attachment.
type attachmentEntry struct {
	Event  uint32 // index among the block's events
	Offset uint32 // in the bytes of all attachments; a multiple of 8
	Length uint32
	_      uint32
}

func findAttachment(entries []attachmentEntry, data []byte, event int) []byte {
	at := sort.Search(len(entries), func(k int) bool { return int(entries[k].Event) >= event })
	if at == len(entries) || int(entries[at].Event) != event {
		return nil
	}
	return entries[at].of(data)
}

// of returns the attachment's bytes among those of all attachments.
func (e *attachmentEntry) of(data []byte) []byte {
	return data[e.Offset : e.Offset+e.Length : e.Offset+e.Length]
}

// Attachment returns the attachment of event i, or nil. It shares the block's memory.
func (k *Block) Attachment(i int) []byte { return findAttachment(k.attached, k.data, i) }

// Attachments returns those of n events from event from on, with their indices counted from there. They share the
// block's memory.
func (k *Block) Attachments(from, n int, dst []Attachment) []Attachment {
	at := sort.Search(len(k.attached), func(i int) bool { return int(k.attached[i].Event) >= from })
	for ; at < len(k.attached) && int(k.attached[at].Event) < from+n; at++ {
		e := &k.attached[at]
		dst = append(dst, Attachment{int(e.Event) - from, e.of(k.data)})
	}
	return dst
}

// checkAttachments bounds the entries: in the order of their events, one behind the other, padded to 8 bytes.
func (k *Block) checkAttachments() error {
	end := uint32(0)
	for i := range k.attached {
		e := &k.attached[i]
		if e.Event >= k.Header.Events || i > 0 && e.Event <= k.attached[i-1].Event {
			return fmt.Errorf("%w: attachment %d of block %d is of event %d", ErrFormat, i, k.Header.Seq, e.Event)
		}
		if e.Offset != end || e.Length == 0 || e.Length > k.Header.AttachBytes-end {
			return fmt.Errorf("%w: attachment %d of block %d has %d bytes at %d", ErrFormat, i, k.Header.Seq, e.Length, e.Offset)
		}
		end += padded(e.Length)
		if !zero(Bytes(k.attached[i:][:1])[12:]) || !zero(k.data[e.Offset+e.Length:end]) {
			return fmt.Errorf("%w: attachment %d of block %d has reserved bytes set", ErrFormat, i, k.Header.Seq)
		}
	}
	if end != k.Header.AttachBytes {
		return fmt.Errorf("%w: the attachments of block %d have %d bytes, its header says %d", ErrFormat, k.Header.Seq, end, k.Header.AttachBytes)
	}
	return nil
}

func padded(n uint32) uint32 { return (n + 7) &^ 7 }

// Attach adds an attachment to event number event, which must come after all that have one. Data is copied.
func (b *Builder) Attach(event int, data []byte) {
	must.True(event < b.events && len(data) > 0, "attachment of %d bytes to event %d of %d", len(data), event, b.events)
	if last := len(b.attached) - 1; last >= 0 {
		must.True(int(b.attached[last].Event) < event, "attachment to event %d after one to event %d", event, b.attached[last].Event)
	}
	e := attachmentEntry{Event: uint32(event), Offset: uint32(len(b.data)), Length: uint32(len(data))} //nolint:gosec // ≤ MaxBlock
	b.attached = append(b.attached, e)
	b.data = append(b.data, data...)
	b.data = append(b.data, make([]byte, int(padded(e.Length)-e.Length))...)
}

// Attachment returns the attachment of event i, or nil. It is valid until Reset.
func (b *Builder) Attachment(i int) []byte { return findAttachment(b.attached, b.data, i) }

// AttachmentAt returns where in a block the attachment of an event stands, by its header and its entry's bytes.
func (h *Header) AttachmentAt(entry []byte) (event, offset, length int) {
	e := &View[attachmentEntry](Aligned(entry))[0]
	from := HeaderSize + h.BodySize() - int(h.AttachBytes)
	return int(e.Event), from + int(e.Offset), int(e.Length)
}

// AttachmentEntries returns where in a block its attachments' entries stand, of AttachmentSize bytes each.
func (h *Header) AttachmentEntries() (offset int) {
	return HeaderSize + h.BodySize() - int(h.AttachBytes) - int(h.Attachments)*AttachmentSize
}

func (b *Builder) dropAttachments() {
	keep := len(b.attached)
	for keep > 0 && int(b.attached[keep-1].Event) >= b.events {
		keep--
		b.data = b.data[:b.attached[keep].Offset]
	}
	b.attached = b.attached[:keep]
}
