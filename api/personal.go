package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/money"
)

// Keys seals and opens personal metadata. [keystore.Store] does.
type Keys interface {
	// Seal makes the keys that are missing, durably, before it returns: nothing may be journaled that is sealed with a
	// key which a power cut could take away.
	Seal(ctx context.Context, values []keystore.Value) error
	Open(values []keystore.Value) error
}

// Personal is an entry of metadata that belongs to a person.
type Personal struct {
	Subject string
	State   keystore.State // set by [OpenDetails]: where it is not Active, Meta has no more than its key
	Meta    journal.Meta   // in clear, of any type but personal
}

// PersonalDetails are the details of an event together with its personal metadata.
type PersonalDetails struct {
	Event    money.U128 // id of the account or the transfer
	Details  *journal.Details
	Personal []Personal
}

// SealDetails moves the personal metadata of events into their details, sealed: all of one call together, with one
// write for all subjects that are new. Equal events get equal bytes, so one that is sent again is found to exist. If an
// entry is refused, nothing is changed and no key is made; an erased subject is a [keystore.ErasedError].
func SealDetails(ctx context.Context, keys Keys, list []PersonalDetails) error {
	var values []keystore.Value
	for i := range list {
		for k := range list[i].Personal {
			p := &list[i].Personal[k]
			if err := checkClear(&p.Meta); err != nil {
				return fmt.Errorf("personal metadata of event %v: %w", list[i].Event, err)
			}
			values = append(values, keystore.Value{
				Subject: p.Subject, Event: IDBytes(list[i].Event), Name: p.Meta.Key, Type: uint8(p.Meta.Type), Clear: p.Meta.Value,
			})
		}
		if err := noKeyTwice(&list[i]); err != nil {
			return err
		}
	}
	if len(values) == 0 {
		return nil
	}
	if err := keys.Seal(ctx, values); err != nil {
		return fmt.Errorf("seal personal metadata: %w", err)
	}
	for i := range list {
		e := &list[i]
		if len(e.Personal) == 0 {
			continue
		}
		metadata := slices.Clone(e.Details.Metadata)
		for range e.Personal {
			v := &values[0]
			metadata = append(metadata, journal.PersonalMeta(v.Name, journal.Personal{Subject: v.Subject, Sealed: v.Sealed}))
			values = values[1:]
		}
		slices.SortFunc(metadata, func(a, b journal.Meta) int { return strings.Compare(a.Key, b.Key) })
		e.Details.Metadata, e.Personal = metadata, nil
	}
	return nil
}

// OpenDetails takes the personal metadata of events out of their details, opened: the inverse of [SealDetails]. Entries
// of erased subjects come without a value, and say so. An entry that does not open is an error.
func OpenDetails(keys Keys, list []PersonalDetails) error {
	var values []keystore.Value
	for i := range list {
		for k := range list[i].Details.Metadata {
			m := &list[i].Details.Metadata[k]
			if m.Type != journal.MetaPersonal {
				continue
			}
			p, err := m.Personal()
			if err != nil {
				return fmt.Errorf("read personal metadata of event %v: %w", list[i].Event, err)
			}
			values = append(values, keystore.Value{Subject: p.Subject, Event: IDBytes(list[i].Event), Name: m.Key, Sealed: p.Sealed})
		}
	}
	if len(values) == 0 {
		return nil
	}
	if err := keys.Open(values); err != nil {
		return fmt.Errorf("open personal metadata: %w", err)
	}
	for i := range list {
		e := &list[i]
		var rest []journal.Meta
		e.Personal = nil
		for _, m := range e.Details.Metadata {
			if m.Type != journal.MetaPersonal {
				rest = append(rest, m)
				continue
			}
			v := &values[0]
			values = values[1:]
			p := Personal{Subject: v.Subject, State: v.State, Meta: journal.Meta{Key: v.Name}}
			if v.State == keystore.Active {
				p.Meta.Type, p.Meta.Value = journal.MetaType(v.Type), v.Clear
				if err := checkClear(&p.Meta); err != nil {
					return fmt.Errorf("opened personal metadata of event %v: %w", e.Event, err)
				}
			}
			e.Personal = append(e.Personal, p)
		}
		e.Details.Metadata = rest
	}
	return nil
}

// checkClear checks an entry by itself, as if it were not personal.
func checkClear(m *journal.Meta) error {
	if m.Type == journal.MetaPersonal {
		return fmt.Errorf("%w: metadata %q is personal twice", journal.ErrDetails, m.Key)
	}
	d := journal.Details{Metadata: []journal.Meta{*m}}
	return d.Check()
}

func noKeyTwice(e *PersonalDetails) error {
	seen := make(map[string]bool, len(e.Personal))
	for k := range e.Details.Metadata {
		seen[e.Details.Metadata[k].Key] = true
	}
	for k := range e.Personal {
		if key := e.Personal[k].Meta.Key; seen[key] {
			return fmt.Errorf("%w: event %v has metadata %q twice", journal.ErrDetails, e.Event, key)
		}
		seen[e.Personal[k].Meta.Key] = true
	}
	if len(seen) > journal.MaxMetaEntries {
		return fmt.Errorf("%w: event %v has %d entries of metadata, at most %d", journal.ErrDetails, e.Event, len(seen), journal.MaxMetaEntries)
	}
	return nil
}

// IDBytes returns an id as records and the key store hold it: little-endian.
func IDBytes(id money.U128) (b [16]byte) {
	binary.LittleEndian.PutUint64(b[:], id.Lo)
	binary.LittleEndian.PutUint64(b[8:], id.Hi)
	return b
}

func idOf(b [16]byte) money.U128 {
	return money.U128{Lo: binary.LittleEndian.Uint64(b[:]), Hi: binary.LittleEndian.Uint64(b[8:])}
}
