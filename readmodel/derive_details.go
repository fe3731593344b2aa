package readmodel

import (
	"encoding/binary"
	"math/big"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// metadataOf makes rows of metadata. Personal values stay sealed.
func metadataOf(owner Owner, id money.U128, list []journal.Meta) []Metadata {
	rows := make([]Metadata, 0, len(list))
	for i := range list {
		m := &list[i]
		row := Metadata{Owner: owner, OwnerID: id, Key: m.Key, HasValue: true}
		switch m.Type {
		case journal.MetaText:
			row.Type, row.Value = "text", string(m.Value)
			if strings.IndexByte(row.Value, 0) >= 0 {
				row.Value, row.HasValue, row.Data = "", false, m.Value
			}
		case journal.MetaInt:
			row.Type, row.Value = "integer", strconv.FormatInt(m.Int(), 10)
		case journal.MetaBool:
			row.Type, row.Value = "truth", strconv.FormatBool(m.Bool())
		case journal.MetaAmount:
			row.Type, row.Value = "amount", m.Amount().String()
		case journal.MetaTime:
			row.Type, row.Value = "time", strconv.FormatUint(m.Time(), 10)
		case journal.MetaPersonal:
			row.Type, row.HasValue = "personal", false
			if p, err := m.Personal(); err == nil { // details are checked when they are decoded
				row.Subject, row.Data = p.Subject, p.Sealed
			}
		default:
			row.Type, row.HasValue, row.Data = "bytes", false, m.Value
		}
		rows = append(rows, row)
	}
	return rows
}

// A row of a trial balance as the journal has it: asset, code, padding and six sums of 24 bytes.
const (
	trialSum = 24
	trialRow = 8 + 6*trialSum
)

// trial reads the trial balance that is attached to a day close; there is none where nothing was ever posted.
func (d *deriver) trial(event int) ([]TrialLine, error) {
	attached := d.block.Attachment(event)
	details, err := d.details(event, attached != nil)
	if err != nil {
		return nil, err
	}
	b := details.Payload
	if len(b)%trialRow != 0 {
		return nil, d.fault(ErrJournal, event, "has a trial balance of %d bytes", len(b))
	}
	lines := make([]TrialLine, 0, len(b)/trialRow)
	for ; len(b) > 0; b = b[trialRow:] {
		sum := func(i int) string { return decimal(b[8+i*trialSum:][:trialSum]) }
		lines = append(lines, TrialLine{
			binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), sum(0), sum(1), sum(2), sum(3), sum(4), sum(5),
		})
	}
	return lines, nil
}

// decimal writes a little-endian number.
func decimal(le []byte) string {
	be := make([]byte, len(le))
	for i := range le {
		be[len(le)-1-i] = le[i]
	}
	return new(big.Int).SetBytes(be).String()
}
