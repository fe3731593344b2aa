package ledger

import (
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/must"
)

// SnapshotVersion is the version of the snapshot format that this package writes. It reads the one before, too; a
// program that can't read a snapshot replays the journal instead.
const SnapshotVersion = 3

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
	ids      *table // of the youngest generation then

	nextAccount, nextPlace uint32
	nextDetail             uint32
	nextSegment            int
	keptAccounts           map[uint32]journal.Account
	keptPendings           map[uint32]pending
	keptDetails            map[uint32]detail
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
	Books                                 uint64 // bytes of the books and controls: see appendBooks
}

// snapshotGenerations follows the head; then come that many GenerationRefs.
type snapshotGenerations struct {
	Through, Settled uint64
}

var snapshotMagic = [8]byte{'S', 'T', 'E', 'R', 'S', 'N', 'A', 'P'}

const endOfSnapshot = 0x53544552_454E4421 // "STER" "END!"

// StartSnapshot begins a snapshot of the state after block seq. Only one is taken at a time, and only when Unsettled
// is 0: it relies on the generations that are durable.
func (s *State) StartSnapshot(seq uint64) *Snapshot {
	must.True(len(s.gens.sealed) == 0, "a snapshot with %d generations that are not settled", len(s.gens.sealed))
	sn := &Snapshot{
		s: s, seq: seq, accounts: s.nAccounts, places: s.pendings.top, ids: s.ids, nextAccount: 1, nextPlace: 1, nextDetail: 1,
		keptDetails:  map[uint32]detail{},
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
	if sn.ids != nil && sn.settled() {
		sn.s.recycle(sn.ids)
	}
	sn.ids = nil
	if sn.s.snapshot == sn {
		sn.s.snapshot, sn.s.watchEdits = nil, sn.s.chain.open
	}
}

// settled reports whether the generation that it copies was settled meanwhile.
func (sn *Snapshot) settled() bool {
	for _, g := range sn.s.gens.sealed {
		if g.table == sn.ids {
			return false
		}
	}
	return sn.s.ids != sn.ids
}

func (s *State) snapshotHead(seq uint64) []byte {
	h := snapshotHead{
		Magic: snapshotMagic, Version: SnapshotVersion, Rules: s.rules, Seq: seq, LastEnd: s.lastEnd, LastAccount: s.lastAcct,
		LastXfer: s.lastXfer, Digest: s.digest, HashKey: [2]uint64{s.hasher.k0, s.hasher.k1},
		Transfers: s.counts.Transfers, Burned: s.counts.Burned, Accounts: uint64(s.nAccounts),
		Pendings: uint64(s.pendings.n), IDs: uint64(s.ids.n), //nolint:gosec // a count
		Assets: uint64(s.catalogue.Len()), Freezes: uint64(len(s.freezes.all)), Limits: uint64(len(s.limits)), //nolint:gosec // lengths
		LimitRecords: uint64(len(s.limitIDs)),
	}
	books := s.appendBooks(nil)
	h.Books = uint64(len(books))
	b := must1(binary.Append(nil, binary.LittleEndian, &h))
	b = must1(binary.Append(b, binary.LittleEndian, &snapshotGenerations{s.gens.through, uint64(len(s.gens.settled))}))
	b = must1(binary.Append(b, binary.LittleEndian, s.gens.settled))
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
		b = must1(binary.Append(b, binary.LittleEndian, new(s.limitIDs[id])))
	}
	return append(b, books...)
}

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
	for ; sn.nextDetail <= sn.accounts+1 && len(dst) < limit; sn.nextDetail++ {
		dst = sn.detail(sn.nextDetail, dst)
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
	for ; !sn.done && sn.nextSegment < len(sn.ids.segs) && len(dst) < limit; sn.nextSegment++ {
		dst = sn.copyIDs(sn.ids.segs[sn.nextSegment], dst)
	}
	if len(dst) < limit && !sn.done {
		dst = append(dst, make([]byte, 16)...) // an empty entry ends the ids
		dst = binary.LittleEndian.AppendUint64(dst, endOfSnapshot)
		sn.finish()
	}
	return dst, !sn.done
}

// copyIDs copies a segment's entries that are not younger than the snapshot. A segment that split in the meantime may
// give an entry twice; how a reservation ended may be younger: both are harmless (docs/formats.md).
func (sn *Snapshot) copyIDs(seg *segment, dst []byte) []byte {
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
