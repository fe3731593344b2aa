package codec

import (
	"strconv"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// The encoders write every field, also those that are zero (protojson's
// EmitDefaultValues), so that a reader need not know the defaults.

// AppendAccountResultsJSON appends a CreateAccountsResponse to dst.
func (c *Codec) AppendAccountResultsJSON(dst []byte, r *Reply) []byte {
	return appendResultsJSON(dst, r, c.accountStatus)
}

// AppendTransferResultsJSON appends a CreateTransfersResponse to dst.
func (c *Codec) AppendTransferResultsJSON(dst []byte, r *Reply) []byte {
	return appendResultsJSON(dst, r, c.transferStatus)
}

func appendResultsJSON(dst []byte, r *Reply, names []string) []byte {
	dst = append(dst, `{"results":[`...)
	for i, result := range r.Results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"status":`...)
		if int(result.Status) < len(names) {
			dst = append(append(append(dst, '"'), names[result.Status]...), '"')
		} else {
			dst = strconv.AppendUint(dst, uint64(result.Status), 10)
		}
		dst = appendUintText(dst, `,"timestamp":"`, result.Timestamp)
		dst = append(dst, '}')
	}
	return appendPositionJSON(dst, r)
}

// appendPositionJSON ends a list and the message it is in.
func appendPositionJSON(dst []byte, r *Reply) []byte {
	dst = appendUintText(dst, `],"position":{"cell":"`, r.Cell)
	dst = appendUintText(dst, `,"seq":"`, r.Seq)
	return append(dst, '}', '}')
}

func appendUintText(dst []byte, key string, v uint64) []byte {
	dst = strconv.AppendUint(append(dst, key...), v, 10)
	return append(dst, '"')
}

func appendUint(dst []byte, key string, v uint64) []byte {
	return strconv.AppendUint(append(dst, key...), v, 10)
}

func appendU128(dst []byte, key string, v money.U128) []byte {
	return append(v.AppendDecimal(append(dst, key...)), '"')
}

func appendFlags(dst []byte, flags uint16, names *[16]string) []byte {
	dst = append(dst, `,"flags":[`...)
	first := true
	for i := range names {
		if flags&(1<<i) == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if names[i] == "" {
			dst = strconv.AppendUint(dst, 1<<i, 10)
			continue
		}
		dst = append(append(append(dst, '"'), names[i]...), '"')
	}
	return append(dst, ']')
}

// AppendAccountsJSON appends a LookupAccountsResponse to dst.
func (c *Codec) AppendAccountsJSON(dst []byte, r *Reply, assets *AssetTable) []byte {
	dst = append(dst, `{"accounts":[`...)
	for i := range r.Accounts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendAccountJSON(dst, &r.Accounts[i], r.details(i), assets)
	}
	return appendPositionJSON(dst, r)
}

func (c *Codec) appendAccountJSON(dst []byte, a *journal.Account, d *Details, assets *AssetTable) []byte {
	dst = appendU128(dst, `{"id":"`, a.ID)
	dst = appendU128(dst, `,"debitsPending":"`, a.DebitsPending)
	dst = appendU128(dst, `,"debitsPosted":"`, a.DebitsPosted)
	dst = appendU128(dst, `,"creditsPending":"`, a.CreditsPending)
	dst = appendU128(dst, `,"creditsPosted":"`, a.CreditsPosted)
	dst = appendU128(dst, `,"userData128":"`, a.UserData128)
	dst = appendUintText(dst, `,"userData64":"`, a.UserData64)
	dst = appendUint(dst, `,"userData32":`, uint64(a.UserData32))
	dst = append(dst, `,"asset":"`...)
	dst = append(append(dst, assets.Name(a.Asset)...), '"')
	dst = appendUint(dst, `,"code":`, uint64(a.Code))
	dst = appendFlags(dst, uint16(a.Flags&journal.AccountFlagsKnown), &c.accountBits)
	dst = appendUintText(dst, `,"timestamp":"`, a.Timestamp)
	dst = append(append(append(dst, `,"address":"`...), d.Address...), '"') // of plain characters
	return append(appendMetadataJSON(dst, d), '}')
}

// AppendTransfersJSON appends a LookupTransfersResponse to dst.
func (c *Codec) AppendTransfersJSON(dst []byte, r *Reply, assets *AssetTable) []byte {
	dst = append(dst, `{"transfers":[`...)
	for i := range r.Transfers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendTransferJSON(dst, &r.Transfers[i], r.details(i), assets)
	}
	return appendPositionJSON(dst, r)
}

func (c *Codec) appendTransferJSON(dst []byte, t *journal.Transfer, d *Details, assets *AssetTable) []byte {
	dst = appendU128(dst, `{"id":"`, t.ID)
	dst = appendU128(dst, `,"debitAccountId":"`, t.Debit)
	dst = appendU128(dst, `,"creditAccountId":"`, t.Credit)
	dst = appendU128(dst, `,"amount":"`, t.Amount)
	dst = appendU128(dst, `,"pendingId":"`, t.PendingID)
	dst = appendU128(dst, `,"userData128":"`, t.UserData128)
	dst = appendUintText(dst, `,"userData64":"`, t.UserData64)
	dst = appendUint(dst, `,"userData32":`, uint64(t.UserData32))
	dst = appendUint(dst, `,"timeout":`, uint64(t.Timeout))
	dst = append(dst, `,"asset":"`...)
	dst = append(append(dst, assets.Name(t.Asset)...), '"')
	dst = appendUint(dst, `,"code":`, uint64(t.Code))
	dst = appendFlags(dst, uint16(t.Flags&journal.TransferFlagsKnown), &c.transferBits)
	dst = appendUintText(dst, `,"timestamp":"`, t.Timestamp)
	dst = append(append(append(dst, `,"bookingDate":"`...), d.BookingDate...), '"') // digits and dashes
	return append(appendTransitJSON(appendMetadataJSON(dst, d), d.Transit), '}')
}
