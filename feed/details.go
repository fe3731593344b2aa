package feed

import (
	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// details reads what is attached to an event, nothing where there is nothing.
func (e *Event) details() journal.Details {
	d, err := journal.DecodeDetails(e.Attachment)
	if err != nil {
		return journal.Details{} // the block was checked when it was written: subscribers have the bytes anyway
	}
	return d
}

// bookingDate is the day as the API has it.
func bookingDate(d journal.Date) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Metadata returns metadata as the API has it. Of personal values it tells whose they are, and no more: only the API
// opens them, for whoever may look.
func Metadata(list []journal.Meta) map[string]*ledgerv1.MetadataValue {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]*ledgerv1.MetadataValue, len(list))
	for i := range list {
		m[list[i].Key] = MetadataValue(&list[i])
	}
	return m
}

// MetadataValue returns one value as the API has it.
func MetadataValue(m *journal.Meta) *ledgerv1.MetadataValue {
	v := &ledgerv1.MetadataValue{}
	switch m.Type {
	case journal.MetaText:
		v.Value = &ledgerv1.MetadataValue_Text{Text: string(m.Value)}
	case journal.MetaInt:
		v.Value = &ledgerv1.MetadataValue_Integer{Integer: m.Int()}
	case journal.MetaBool:
		v.Value = &ledgerv1.MetadataValue_Truth{Truth: m.Bool()}
	case journal.MetaAmount:
		v.Value = &ledgerv1.MetadataValue_Amount{Amount: m.Amount().String()}
	case journal.MetaTime:
		v.Value = &ledgerv1.MetadataValue_Time{Time: m.Time()}
	case journal.MetaPersonal:
		p, err := m.Personal()
		if err == nil {
			v.Value = &ledgerv1.MetadataValue_Personal{Personal: &ledgerv1.PersonalValue{Subject: p.Subject}}
		}
	default:
		v.Value = &ledgerv1.MetadataValue_Data{Data: m.Value}
	}
	return v
}
