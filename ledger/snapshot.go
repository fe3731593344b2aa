package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/sterlingrun/sterling/journal"
)

// SnapshotVersion is the version of the snapshot format that this package writes, and the only one it reads. A
// program that can't read a snapshot replays the journal instead.
const SnapshotVersion = 1

// ErrSnapshot is a snapshot that this program can't use.
var ErrSnapshot = errors.New("unusable snapshot")

// Snapshot copies the state as it was when StartSnapshot was called, a piece at a time, while the state goes on
// changing: whatever is about to change and was not copied yet is set aside first. It belongs to the goroutine that
// owns the state.
type Snapshot struct {
	s        *State
	seq      uint64
	head     []byte
	accounts uint32 // how many there were
	places   uint32 // for reservations

	nextAccount, nextPlace uint32
	nextSegment            int
	keptAccounts           map[uint32]journal.Account
	keptPendings           map[uint32]pending
	done                   bool
}

// snapshotHead is the fixed part of a snapshot.
type snapshotHead struct {
	Magic                                 [8]byte
	Version, Rules                        uint16
	_                                     uint32
	Seq, LastEnd, LastAccount, LastXfer   uint64
	Digest, HashKey                       [2]uint64
	Transfers, Burned                     uint64
	Accounts, Pendings, IDs               uint64
	Assets, Freezes, Limits, LimitRecords uint64
}

var snapshotMagic = [8]byte{'S', 'T', 'E', 'R', 'S', 'N', 'A', 'P'}

const endOfSnapshot = 0x53544552_454E4421 // "STER" "END!"

// StartSnapshot begins a snapshot of the state after block seq. Only one is taken at a time.
func (s *State) StartSnapshot(seq uint64) *Snapshot {
	sn := &Snapshot{
		s: s, seq: seq, accounts: s.nAccounts, places: s.pendings.top, nextAccount: 1, nextPlace: 1,
		keptAccounts: map[uint32]journal.Account{}, keptPendings: map[uint32]pending{},
	}
	sn.head = s.snapshotHead(seq)
	s.snapshot, s.watchEdits = sn, true
	return sn
}

// Abandon gives the snapshot up.
func (sn *Snapshot) Abandon() { sn.finish() }

func (sn *Snapshot) finish() {
	sn.done = true
	if sn.s.snapshot == sn {
		sn.s.snapshot, sn.s.watchEdits = nil, sn.s.chain.open
	}
}

func (s *State) snapshotHead(seq uint64) []byte {
	h := snapshotHead{
		Magic: snapshotMagic, Version: SnapshotVersion, Rules: Rules, Seq: seq, LastEnd: s.lastEnd, LastAccount: s.lastAcct,
		LastXfer: s.lastXfer, Digest: s.digest, HashKey: [2]uint64{s.hasher.k0, s.hasher.k1},
		Transfers: s.counts.Transfers, Burned: s.counts.Burned, Accounts: uint64(s.nAccounts),
		Pendings: uint64(s.pendings.n), IDs: uint64(s.ids.n), //nolint:gosec // counts
		Assets: uint64(s.catalogue.Len()), Freezes: uint64(len(s.freezes.all)), Limits: uint64(len(s.limits)),
		LimitRecords: uint64(len(s.limitIDs)),
	}
	b := must1(binary.Append(nil, binary.LittleEndian, &h))
	for n := range s.catalogue.Len() {
		r := AssetRecord(s.catalogue.byNumber[n])
		b = must1(binary.Append(b, binary.LittleEndian, &r))
	}
	for i := range s.freezes.all {
		b = must1(binary.Append(b, binary.LittleEndian, &s.freezes.all[i]))
	}
	keys := make([]limitKey, 0, len(s.limits))
	for k := range s.limits {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b limitKey) int {
		return int(int64(a.Account)<<2+int64(a.Side)) - int(int64(b.Account)<<2+int64(b.Side))
	})
	for _, k := range keys {
		b = must1(binary.Append(b, binary.LittleEndian, &k))
		b = must1(binary.Append(b, binary.LittleEndian, s.limits[k]))
	}
	for _, id := range s.limitOrder {
		b = must1(binary.Append(b, binary.LittleEndian, ptr(s.limitIDs[id])))
	}
	return b
}

func ptr[T any](v T) *T { return &v }

func must1(b []byte, err error) []byte {
	if err != nil {
		panic("ledger: snapshot: " + err.Error()) // only a type that has no fixed size can cause it
	}
	return b
}

func (sn *Snapshot) keepAccount(n uint32, a *journal.Account) {
	if n < sn.nextAccount || n > sn.accounts {
		return
	}
	if _, kept := sn.keptAccounts[n]; !kept {
		sn.keptAccounts[n] = *a
	}
}

func (sn *Snapshot) keepPending(n uint32, p *pending) {
	if n < sn.nextPlace || n > sn.places {
		return
	}
	if _, kept := sn.keptPendings[n]; !kept {
		sn.keptPendings[n] = *p
	}
}

// Next appends about size bytes of the snapshot to dst; more is false when that was the last of it.
func (sn *Snapshot) Next(dst []byte, size int) (out []byte, more bool) {
	limit := len(dst) + size
	dst = append(dst, sn.head...)
	sn.head = nil
	for ; sn.nextAccount <= sn.accounts && len(dst) < limit; sn.nextAccount++ {
		a, kept := sn.keptAccounts[sn.nextAccount]
		if kept {
			delete(sn.keptAccounts, sn.nextAccount)
		} else {
			a = *sn.s.accounts.at(sn.nextAccount)
		}
		dst = append(dst, rawBytes(&a)...)
	}
	for ; sn.nextPlace <= sn.places && len(dst) < limit; sn.nextPlace++ {
		p, kept := sn.keptPendings[sn.nextPlace]
		if kept {
			delete(sn.keptPendings, sn.nextPlace)
		} else {
			p = *sn.s.pendings.slab.at(sn.nextPlace)
		}
		if p.position != 0 {
			dst = append(dst, rawBytes(&p)...)
		}
	}
	for ; sn.nextSegment < len(sn.s.ids.segs) && len(dst) < limit; sn.nextSegment++ {
		dst = sn.ids(sn.s.ids.segs[sn.nextSegment], dst)
	}
	if len(dst) < limit && !sn.done {
		dst = append(dst, make([]byte, 16)...) // an empty entry ends the ids
		dst = binary.LittleEndian.AppendUint64(dst, endOfSnapshot)
		sn.finish()
	}
	return dst, !sn.done
}

// ids copies a segment's entries that are not younger than the snapshot. A segment that split in the meantime may
// give an entry twice; how a reservation ended may be younger: both are harmless (docs/formats.md).
func (sn *Snapshot) ids(seg *segment, dst []byte) []byte {
	for i := range seg.slots {
		e := &seg.slots[i]
		if e.value != 0 && journal.Position(e.value>>2).Seq() <= sn.seq {
			dst = binary.LittleEndian.AppendUint64(dst, e.hash)
			dst = binary.LittleEndian.AppendUint64(dst, e.value)
		}
	}
	return dst
}

func rawBytes[T journal.Account | pending](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// Restore reads a snapshot and returns the state and the sequence number of the last block that is in it.
func Restore(cfg Config, from io.Reader) (*State, uint64, error) {
	r := bufio.NewReaderSize(from, 1<<20)
	var h snapshotHead
	if err := read(r, &h); err != nil {
		return nil, 0, err
	}
	switch {
	case h.Magic != snapshotMagic:
		return nil, 0, fmt.Errorf("%w: it does not begin with %q", ErrSnapshot, snapshotMagic[:])
	case h.Version != SnapshotVersion:
		return nil, 0, fmt.Errorf("%w: format version %d, this program reads version %d", ErrSnapshot, h.Version, SnapshotVersion)
	case h.Rules != Rules:
		return nil, 0, fmt.Errorf("%w: rules version %d, this program knows version %d", ErrSnapshot, h.Rules, Rules)
	case h.Accounts >= 1<<32-1 || h.Pendings >= 1<<32-1 || h.Assets > MaxAssets:
		return nil, 0, fmt.Errorf("%w: it claims %d accounts, %d reservations, %d assets", ErrSnapshot, h.Accounts, h.Pendings, h.Assets)
	}
	cfg.HashKey = h.HashKey
	s := New(cfg)
	s.accountNo = newTable(s.alloc, int(h.Accounts))  //nolint:gosec // bounded above
	s.ids = newTable(s.alloc, int(min(h.IDs, 1<<32))) //nolint:gosec // bounded here
	s.lastEnd, s.lastAcct, s.lastXfer = h.LastEnd, h.LastAccount, h.LastXfer
	s.digest, s.counts.Transfers, s.counts.Burned = h.Digest, h.Transfers, h.Burned
	for _, part := range []func(*bufio.Reader, *snapshotHead) error{s.restoreAssets, s.restoreFreezes, s.restoreLimits, s.restoreAccounts, s.restorePendings, s.restoreIDs} {
		if err := part(r, &h); err != nil {
			return nil, 0, err
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("%w: bytes after its end", ErrSnapshot)
	}
	return s, h.Seq, nil
}

func read(r io.Reader, v any) error {
	if err := binary.Read(r, binary.LittleEndian, v); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

func (s *State) restoreAssets(r *bufio.Reader, h *snapshotHead) error {
	for range h.Assets {
		var rec journal.Asset
		if err := read(r, &rec); err != nil {
			return err
		}
		s.catalogue.add(AssetOf(&rec)) // nobody has seen this catalogue yet
	}
	return nil
}

func (s *State) restoreFreezes(r *bufio.Reader, h *snapshotHead) error {
	for i := range h.Freezes {
		var f Freeze
		if err := read(r, &f); err != nil {
			return err
		}
		s.freezes.all = append(s.freezes.all, f)
		s.freezes.byID[f.ID] = int(i) //nolint:gosec // few
		if f.Lifted {
			s.freezes.lifts[f.UnfreezeID] = int(i) //nolint:gosec // few
			continue
		}
		s.freezes.active++
		switch f.Selector { // those of accounts stand in the accounts' marks
		case journal.SelectCell:
			s.freezes.cell |= f.Mode
		case journal.SelectCode:
			s.freezes.codes[f.Code] |= f.Mode
		}
	}
	return nil
}

func (s *State) restoreLimits(r *bufio.Reader, h *snapshotHead) error {
	for range h.Limits {
		var k limitKey
		v := &velocity{}
		if err := errors.Join(read(r, &k), read(r, v)); err != nil {
			return err
		}
		s.limits[k] = v
	}
	for range h.LimitRecords {
		var l limitRecord
		if err := read(r, &l); err != nil {
			return err
		}
		s.limitIDs[l.Limit.ID] = l
		s.limitOrder = append(s.limitOrder, l.Limit.ID)
	}
	return nil
}

func (s *State) restoreAccounts(r *bufio.Reader, h *snapshotHead) error {
	for n := uint32(1); uint64(n) <= h.Accounts; n++ {
		s.accounts.grow(n)
		a := s.accounts.at(n)
		if _, err := io.ReadFull(r, rawBytes(a)); err != nil {
			return fmt.Errorf("%w: account %d: %w", ErrSnapshot, n, err)
		}
		s.accountNo.insert(s.hasher.hash(a.ID), uint64(n))
		s.nAccounts = n
	}
	return nil
}

func (s *State) restorePendings(r *bufio.Reader, h *snapshotHead) error {
	for range h.Pendings {
		n := s.pendings.take()
		p := s.pendings.slab.at(n)
		if _, err := io.ReadFull(r, rawBytes(p)); err != nil {
			return fmt.Errorf("%w: reservation %d: %w", ErrSnapshot, n, err)
		}
		if p.position == 0 || p.debit == 0 || p.debit > s.nAccounts || p.credit == 0 || p.credit > s.nAccounts {
			return fmt.Errorf("%w: reservation %d is of accounts %d and %d", ErrSnapshot, n, p.debit, p.credit)
		}
		s.pendings.byID.insert(s.hasher.hash(p.id), uint64(n))
		if p.expires != 0 {
			s.expiries.push(expiry{p.expires, p.timestamp, n})
		}
	}
	return nil
}

func (s *State) restoreIDs(r *bufio.Reader, _ *snapshotHead) error {
	var b [16]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("%w: ids: %w", ErrSnapshot, err)
		}
		hash, value := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		if value == 0 {
			break
		}
		s.restoreID(hash, value)
	}
	if _, err := io.ReadFull(r, b[:8]); err != nil || binary.LittleEndian.Uint64(b[:]) != endOfSnapshot {
		return fmt.Errorf("%w: it does not end where it should", ErrSnapshot)
	}
	return s.reopenIDs()
}

// reopenIDs puts back what the ids may say too early: that reservations ended which were open at the snapshot.
func (s *State) reopenIDs() error {
	for n := uint32(1); n <= s.pendings.top; n++ {
		p := s.pendings.slab.at(n)
		hash := s.hasher.hash(p.id)
		seg := s.ids.segment(hash)
		at, v := seg.find(hash, 0)
		for at >= 0 && journal.Position(v>>2) != p.position {
			at, v = seg.find(hash, at+1)
		}
		if at < 0 {
			return fmt.Errorf("%w: the reservation at block %d is not among the ids", ErrSnapshot, p.position.Seq())
		}
		s.ids.replace(hash, v, uint64(p.position)<<2)
	}
	return nil
}

func (s *State) restoreID(hash, value uint64) {
	seg := s.ids.segment(hash)
	for p, v := seg.find(hash, 0); p >= 0; p, v = seg.find(hash, p+1) {
		if v>>2 == value>>2 {
			s.ids.replace(hash, v, v|value)
			return
		}
	}
	s.ids.insert(hash, value)
}
