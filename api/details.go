package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Keys seals and opens personal metadata. [keystore.Store] does.
type Keys interface {
	Seal(ctx context.Context, values []keystore.Value) error
	Open(values []keystore.Value) error
}

// sealing collects the personal values of a request while its details are read, so that they are sealed together.
type sealing struct {
	keys   Keys
	values []keystore.Value
	places []*journal.Meta // where the sealed values go
}

// metadata reads an event's metadata; path names it in errors.
func (z *sealing) metadata(id money.U128, m map[string]*ledgerv1.MetadataValue, path string) ([]journal.Meta, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > journal.MaxMetaEntries {
		return nil, malformed(path, fmt.Sprintf("more than %d entries", journal.MaxMetaEntries))
	}
	list := make([]journal.Meta, 0, len(m)) // never grows: places point into it
	for _, key := range slices.Sorted(maps.Keys(m)) {
		field := path + "." + key
		entry, err := readMeta(key, m[key], field)
		if err != nil {
			return nil, err
		}
		list = append(list, entry)
		p := m[key].GetPersonal()
		if p == nil {
			continue
		}
		if err := z.personal(id, p, &list[len(list)-1], field); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (z *sealing) personal(id money.U128, p *ledgerv1.PersonalValue, place *journal.Meta, field string) error {
	switch {
	case z.keys == nil:
		return &fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, field: field,
			message: field + ": this server keeps no keys for personal data",
		}
	case p.GetValue() == nil || p.GetValue().GetPersonal() != nil:
		return malformed(field, "want one value that is not personal itself")
	case p.GetErased():
		return malformed(field, "erased stands in answers only")
	}
	clear, err := readMeta(place.Key, p.GetValue(), field)
	if err != nil {
		return err
	}
	z.values = append(z.values, keystore.Value{
		Subject: p.GetSubject(), Event: [16]byte(littleEndian(id)), Name: place.Key, Type: uint8(clear.Type), Clear: clear.Value,
	})
	z.places = append(z.places, place)
	return nil
}

func littleEndian(id money.U128) []byte { return journal.Amount("", id).Value }

// seal makes the keys that are missing, seals the values and puts them where they belong.
func (z *sealing) seal(ctx context.Context) error {
	if len(z.values) == 0 {
		return nil
	}
	if err := z.keys.Seal(ctx, z.values); err != nil {
		if errors.Is(err, keystore.ErrErased) {
			return &fault{code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_SUBJECT_ERASED, message: err.Error()}
		}
		if errors.Is(err, keystore.ErrSubject) || errors.Is(err, keystore.ErrValue) {
			return malformed("metadata", err.Error())
		}
		return fmt.Errorf("seal personal metadata: %w", err)
	}
	for i, place := range z.places {
		*place = journal.PersonalMeta(place.Key, journal.Personal{Subject: z.values[i].Subject, Sealed: z.values[i].Sealed})
	}
	return nil
}

// readMeta reads one value; a personal one becomes a placeholder.
func readMeta(key string, v *ledgerv1.MetadataValue, field string) (journal.Meta, error) {
	switch v := v.GetValue().(type) {
	case *ledgerv1.MetadataValue_Text:
		return journal.Text(key, v.Text), nil
	case *ledgerv1.MetadataValue_Integer:
		return journal.Int(key, v.Integer), nil
	case *ledgerv1.MetadataValue_Truth:
		return journal.Bool(key, v.Truth), nil
	case *ledgerv1.MetadataValue_Amount:
		amount, err := codec.Amount([]byte(v.Amount))
		if err != nil {
			return journal.Meta{}, malformed(field, err.Error())
		}
		return journal.Amount(key, amount), nil
	case *ledgerv1.MetadataValue_Time:
		return journal.Time(key, v.Time), nil
	case *ledgerv1.MetadataValue_Data:
		return journal.Meta{Key: key, Type: journal.MetaBytes, Value: v.Data}, nil
	case *ledgerv1.MetadataValue_Personal:
		return journal.Meta{Key: key, Type: journal.MetaPersonal}, nil
	}
	return journal.Meta{}, malformed(field, "want one value: text, integer, truth, amount, time, data or personal")
}

// attach turns what the events of a request say beyond their records into attachments. ids names the events.
func (s *Server) attach(ctx context.Context, list []codec.Details, name string, id func(event int) money.U128) ([]journal.Attachment, error) {
	if len(list) == 0 {
		return nil, nil
	}
	z := &sealing{keys: s.config.Keys}
	details := make([]journal.Details, len(list))
	for i := range list {
		in, path := &list[i], fmt.Sprintf("%s[%d]", name, list[i].Event)
		d := &details[i]
		d.Address = in.Address
		var err error
		if in.BookingDate != "" {
			if d.BookingDate, err = journal.ParseDate(in.BookingDate); err != nil {
				return nil, malformed(path+".bookingDate", err.Error())
			}
		}
		if d.Metadata, err = z.metadata(id(in.Event), in.Metadata, path+".metadata"); err != nil {
			return nil, err
		}
	}
	if err := z.seal(ctx); err != nil {
		return nil, err
	}
	attached := make([]journal.Attachment, len(list))
	for i := range details {
		path := fmt.Sprintf("%s[%d]", name, list[i].Event)
		if err := details[i].Check(); err != nil {
			return nil, malformed(path, err.Error())
		}
		data := details[i].Append(nil)
		if len(data) > journal.MaxDetails {
			return nil, malformed(path+".metadata", fmt.Sprintf("%d bytes, at most %d", len(data), journal.MaxDetails))
		}
		attached[i] = journal.Attachment{Event: list[i].Event, Data: data}
	}
	return attached, nil
}

// attachTransfers is attach for transfers, and marks them.
func (s *Server) attachTransfers(ctx context.Context, b *codec.Batch) ([]journal.Attachment, error) {
	refuseOwnIDs(b.Transfers)
	attached, err := s.attach(ctx, b.Details, "transfers", func(i int) money.U128 { return b.Transfers[i].ID })
	for _, a := range attached {
		b.Transfers[a.Event].Flags |= journal.TransferAttached
	}
	return attached, err
}

// attachAccounts is attach for accounts, and marks them.
func (s *Server) attachAccounts(ctx context.Context, b *codec.Batch) ([]journal.Attachment, error) {
	refuseTransit(b.Accounts)
	attached, err := s.attach(ctx, b.Details, "accounts", func(i int) money.U128 { return b.Accounts[i].ID })
	for _, a := range attached {
		b.Accounts[a.Event].Flags |= journal.AccountAttached
	}
	return attached, err
}

// detailsOf reads an attachment for an answer; id names its event.
func (s *Server) detailsOf(id money.U128, attachment []byte) (codec.Details, error) {
	d, err := journal.DecodeDetails(attachment)
	if err != nil {
		return codec.Details{}, fmt.Errorf("details of %v: %w", id, err)
	}
	out := codec.Details{Address: d.Address}
	if d.BookingDate != 0 {
		out.BookingDate = d.BookingDate.String()
	}
	out.Metadata, err = s.metadataOf(id, d.Metadata)
	return out, err
}

func (s *Server) metadataOf(id money.U128, list []journal.Meta) (map[string]*ledgerv1.MetadataValue, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]*ledgerv1.MetadataValue, len(list))
	var values []keystore.Value
	for i := range list {
		m := &list[i]
		if m.Type != journal.MetaPersonal {
			out[m.Key] = feed.MetadataValue(m)
			continue
		}
		p, err := m.Personal()
		if err != nil {
			return nil, err
		}
		values = append(values, keystore.Value{Subject: p.Subject, Event: [16]byte(littleEndian(id)), Name: m.Key, Sealed: p.Sealed})
	}
	if len(values) == 0 {
		return out, nil
	}
	if s.config.Keys != nil {
		if err := s.config.Keys.Open(values); err != nil {
			return nil, fmt.Errorf("open personal metadata of %v: %w", id, err)
		}
	}
	for i := range values {
		v := &values[i]
		p := &ledgerv1.PersonalValue{Subject: v.Subject, Erased: v.State != keystore.Active}
		if v.State == keystore.Active {
			p.Value = feed.MetadataValue(&journal.Meta{Key: v.Name, Type: journal.MetaType(v.Type), Value: v.Clear})
		}
		out[v.Name] = &ledgerv1.MetadataValue{Value: &ledgerv1.MetadataValue_Personal{Personal: p}}
	}
	return out, nil
}

// accountDetails reads the addresses and the metadata of the accounts that have some.
func (s *Server) accountDetails(ctx context.Context, accounts []journal.Account) ([]codec.Details, error) {
	var list []codec.Details
	var places []journal.Position
	if !slices.ContainsFunc(accounts, func(a journal.Account) bool { return a.Flags.Has(journal.AccountAttached) }) {
		return nil, nil
	}
	err := s.config.Cell.Read(ctx, func(st *ledger.State) {
		for i := range accounts {
			_, n := st.Account(accounts[i].ID)
			at, address := st.Metadata(n), st.Address(n)
			if at != 0 {
				list = append(list, codec.Details{Event: i, Address: address})
				places = append(places, at)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		data, err := s.config.Cell.Attachment(ctx, places[i])
		if err != nil {
			return nil, err
		}
		if data == nil { // its metadata was taken away
			continue
		}
		d, err := s.detailsOf(accounts[list[i].Event].ID, data)
		if err != nil {
			return nil, err
		}
		list[i].Metadata = d.Metadata
	}
	return list, nil
}
