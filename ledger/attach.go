package ledger

import (
	"bytes"
	"crypto/sha256"

	"github.com/sterlingrun/sterling/journal"
)

// Attach hands over the attachments of the request that Needs and Apply are asked about next, ascending by event. The
// ledger copies them in Apply.
func (s *State) Attach(list []journal.Attachment) { s.attached = list }

// addAttachments puts the request's attachments into the block.
func (s *State) addAttachments(first int) {
	for _, a := range s.attached {
		s.builder.Attach(first+a.Event, a.Data)
	}
}

// flagged reports whether the flag that says so tells the truth about event's attachment.
func (s *State) flagged(event int, attached bool) bool {
	return attached == (s.builder.Attachment(event) != nil)
}

// detail is what an account has beyond its record.
type detail struct {
	position journal.Position // of its newest metadata; 0: none
	address  uint64           // place in the addresses: see addresses.text; 0: none
	digest   [16]byte         // of what was attached when it was created
}

// detailOf returns the account's details, or nil where no account so far had any.
func (s *State) detailOf(n uint32) *detail {
	if int(n>>chunkBits) >= len(s.details.parts) {
		return nil
	}
	return s.details.at(n)
}

func digestOf(attachment []byte) (d [16]byte) {
	sum := sha256.Sum256(attachment)
	copy(d[:], sum[:])
	return d
}

// addDetails keeps what was attached to account n, which is being created by event.
func (s *State) addDetails(n uint32, event int) (addressHash uint64) {
	data := s.builder.Attachment(event)
	if data == nil {
		if d := s.detailOf(n); d != nil {
			*d = detail{} // a chain that came to nothing may have left something
		}
		return 0
	}
	s.details.grow(n)
	d := s.details.at(n)
	*d = detail{position: s.position(event), digest: digestOf(data)}
	details := decoded(data)
	if details.Address != "" {
		d.address = s.addresses.add(details.Address)
		addressHash = s.hasher.text(details.Address)
		s.addressNo.insert(addressHash, uint64(n))
	}
	return addressHash
}

// decoded reads an attachment that CheckRequest has accepted.
func decoded(data []byte) journal.Details {
	d, err := journal.DecodeDetails(data)
	if err != nil {
		panic("ledger: an attachment that was not checked: " + err.Error())
	}
	return d
}

// ByAddress returns the number of the account with this address, or 0.
func (s *State) ByAddress(address string) uint32 {
	hash := s.hasher.text(address)
	seg := s.addressNo.segment(hash)
	for p, v := seg.find(hash, 0); p >= 0; p, v = seg.find(hash, p+1) {
		if n := uint32(v); s.Address(n) == address { //nolint:gosec // account numbers are 32 bits
			return n
		}
	}
	return 0
}

// Address returns the address of account n, "" where it has none.
func (s *State) Address(n uint32) string {
	d := s.detailOf(n)
	if d == nil {
		return ""
	}
	return s.addresses.text(d.address)
}

// Metadata returns where the newest metadata of account n stands, 0 where it has none.
func (s *State) Metadata(n uint32) journal.Position {
	d := s.detailOf(n)
	if d == nil {
		return 0
	}
	return d.position
}

// accountDetailsExist compares what is attached to an account's creation with what was attached when it was created.
func (s *State) accountDetailsExist(n uint32, event int) journal.Status {
	data := s.builder.Attachment(event)
	var was detail
	if d := s.detailOf(n); d != nil {
		was = *d
	}
	if data == nil && was.digest == [16]byte{} || data != nil && digestOf(data) == was.digest {
		return journal.AccountExists
	}
	address := ""
	if data != nil {
		address = decoded(data).Address
	}
	if address != s.addresses.text(was.address) {
		return journal.AccountExistsWithDifferentAddress
	}
	return journal.AccountExistsWithDifferentMetadata
}

// transferDetailsExist compares what is attached to a transfer with what was attached to the one that exists.
func (s *State) transferDetailsExist(event int, e *Fact) journal.Status {
	data := s.builder.Attachment(event)
	switch {
	case bytes.Equal(data, e.Attachment):
		return journal.TransferExists
	case journal.BookingDate(data) != journal.BookingDate(e.Attachment):
		return journal.TransferExistsWithDifferentBookingDate
	}
	return journal.TransferExistsWithDifferentMetadata
}

// changeMetadata replaces the metadata of accounts. Its ids are kept among those of transfers.
func (s *State) changeMetadata(events []journal.Transfer, first int, results []journal.Result) {
	changes := journal.View[journal.MetadataChange](journal.Bytes(events))
	for i := range changes {
		at := s.eventTime(first + i)
		results[i].Status, results[i].Timestamp = s.changeOne(&changes[i], first+i, i, at)
	}
}

func (s *State) changeOne(c *journal.MetadataChange, event, i int, at uint64) (journal.Status, uint64) {
	if status := checkControlID(c.ID); status != journal.Created {
		return status, at
	}
	hash := s.prep[i].hash
	if e, found := s.lookUp(c.ID, hash); found {
		was := journal.View[journal.MetadataChange](journal.Bytes([]journal.Transfer{e.Asked}))[0]
		same := e.Status == journal.Created && was == *c && bytes.Equal(e.Attachment, s.builder.Attachment(event))
		if !same {
			return journal.ControlExistsWithDifferentFields, e.Timestamp
		}
		return journal.ControlExists, e.Timestamp
	}
	n := s.ownNumber(c.Account)
	if n == 0 {
		return journal.ControlAccountNotFound, at
	}
	s.details.grow(n)
	d := s.details.at(n)
	if s.snapshot != nil {
		s.snapshot.keepDetail(n, d)
	}
	d.position = s.position(event)
	s.edit(n).Flags |= journal.AccountAttached
	s.ids.insert(hash, uint64(s.position(event))<<2)
	s.changed = true
	s.fx.Changed = append(s.fx.Changed, AccountEffect{Event: uint32(event), Number: n}) //nolint:gosec // ≤ MaxEvents
	return journal.ControlCreated, at
}
