package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// What every transfer of a benchmark has in common.
const (
	assetName    = "CNY/2"
	transferCode = 1
	amount       = 100 // minor units
)

// Ids have a fixed number of decimal digits, so that requests can be patched in place.
const (
	accountDigits  = 38
	transferPrefix = 18 // digits that a run shares
	transferDigits = transferPrefix + 19
)

// splitmix is a small generator of random numbers (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
// 2014). Load needs speed and repeatability, not secrecy.
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1.
func (s *splitmix) below(n int) int { return int(s.next() % uint64(n)) } //nolint:gosec // n > 0

// book is the accounts that a run uses: random ids, in both forms that requests need.
type book struct {
	ids  []money.U128
	text []byte // accountDigits each
}

// newBook draws n ids of exactly accountDigits digits: from 10^37 up to 10^38.
func newBook(n int, seed uint64) *book {
	const from, until = 542101086242752218, 5421010862427522170 // /2^64, rounded inwards
	random := splitmix(seed)
	b := &book{ids: make([]money.U128, n), text: make([]byte, 0, n*accountDigits)}
	for i := range b.ids {
		b.ids[i] = money.U128{Lo: random.next(), Hi: from + random.next()%(until-from)}
		b.text = b.ids[i].AppendDecimal(b.text)
	}
	return b
}

func (b *book) digits(i int) []byte { return b.text[i*accountDigits : (i+1)*accountDigits] }

// chooser says what the next transfers are: fresh ids, random accounts.
type chooser struct {
	book   *book
	random splitmix
	hot    bool   // every transfer credits the book's first account
	run    uint64 // distinguishes the ids of this load from those of every other
	next   uint64 // and this one transfer from another
}

// accounts returns two different ones.
func (c *chooser) accounts() (debit, credit int) {
	n := len(c.book.ids)
	if c.hot {
		return 1 + c.random.below(n-1), 0
	}
	debit = c.random.below(n)
	return debit, (debit + 1 + c.random.below(n-1)) % n
}

// A batch is an encoded request that fill gives new ids and accounts.
type batch interface {
	fill(c *chooser) []byte // valid until the next call
	transfers() int
}

// textBatch is a request whose ids are decimal text at fixed places: protobuf or JSON.
type textBatch struct {
	buf               []byte
	first, stride, n  int // where the transfers begin, bytes of one, how many
	id, debit, credit int // places within a transfer
}

func (t *textBatch) transfers() int { return t.n }

func (t *textBatch) fill(c *chooser) []byte {
	prefix := c.run%9e17 + 1e17
	for i := range t.n {
		one := t.buf[t.first+i*t.stride:]
		putDigits(one[t.id:t.id+transferPrefix], prefix)
		putDigits(one[t.id+transferPrefix:t.id+transferDigits], c.next)
		c.next++
		debit, credit := c.accounts()
		copy(one[t.debit:t.debit+accountDigits], c.book.digits(debit))
		copy(one[t.credit:t.credit+accountDigits], c.book.digits(credit))
	}
	return t.buf
}

// putDigits fills b with v, padded with zeros. What does not fit is cut off.
func putDigits(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}

// placeholders are as long as what replaces them, and different from each other.
func placeholders() (id, debit, credit string) {
	return strings.Repeat("1", transferDigits), strings.Repeat("2", accountDigits), strings.Repeat("3", accountDigits)
}

// newTextBatch finds the places in one encoded transfer, which follow each other from first on, stride bytes apart.
func newTextBatch(buf []byte, first, stride, n int) (*textBatch, error) {
	t := &textBatch{buf: buf, first: first, stride: stride, n: n}
	one := buf[first:min(first+stride, len(buf))]
	id, debit, credit := placeholders()
	for _, p := range []struct {
		at   *int
		text string
	}{{&t.id, id}, {&t.debit, debit}, {&t.credit, credit}} {
		if *p.at = bytes.Index(one, []byte(p.text)); *p.at < 0 {
			return nil, fmt.Errorf("encode a request: %q is not in it", p.text)
		}
	}
	return t, nil
}

// newWireBatch is a CreateTransfersRequest of n transfers in protobuf.
func newWireBatch(n int) (*textBatch, error) {
	request := &ledgerv1.CreateTransfersRequest{}
	id, debit, credit := placeholders()
	for range n {
		request.Transfers = append(request.Transfers, &ledgerv1.Transfer{
			Id: id, DebitAccountId: debit, CreditAccountId: credit,
			Amount: proto.String(strconv.Itoa(amount)), Asset: assetName, Code: transferCode,
		})
	}
	buf, err := proto.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return newTextBatch(buf, 0, len(buf)/n, n)
}

// newHTTPCall is a whole HTTP/1.1 request that creates one transfer, given as JSON.
func newHTTPCall(host, token string) (*textBatch, error) {
	id, debit, credit := placeholders()
	body := fmt.Sprintf(`{"transfers":[{"id":"%s","debitAccountId":"%s","creditAccountId":"%s","amount":"%d","asset":"%s","code":%d}]}`,
		id, debit, credit, amount, assetName, transferCode)
	head := "POST " + ledgerv1.LedgerService_CreateTransfers_FullMethodName + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + token +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return newTextBatch([]byte(head+body), len(head), len(body), 1)
}

// packedBatch is a CreateTransfersPackedRequest.
type packedBatch struct {
	buf  []byte
	head int // bytes before the records
	n    int
}

// newPackedBatch is a request of n records in asset, which is a number of the catalogue.
func newPackedBatch(n int, asset uint32) *packedBatch {
	records := make([]journal.Transfer, n)
	for i := range records {
		records[i] = journal.Transfer{Amount: money.From(amount), Asset: asset, Code: transferCode}
	}
	buf := wrapRecords(journal.Bytes(records))
	return &packedBatch{buf: buf, head: len(buf) - n*journal.RecordSize, n: n}
}

// wrapRecords makes records the first field of a message.
func wrapRecords(records []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), records)
}

func (p *packedBatch) transfers() int { return p.n }

func (p *packedBatch) fill(c *chooser) []byte {
	le := binary.LittleEndian
	for i := range p.n {
		record := p.buf[p.head+i*journal.RecordSize:]
		le.PutUint64(record, c.next) // id, low half first
		le.PutUint64(record[8:], c.run)
		c.next++
		debit, credit := c.accounts()
		c.book.ids[debit].PutLE(record[16:])
		c.book.ids[credit].PutLE(record[32:])
	}
	return p.buf
}

const created = uint64(ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED)

// createdInWire counts the results of a CreateTransfersResponse that say created.
func createdInWire(response []byte) (int, error) {
	n := 0
	for len(response) > 0 {
		field, kind, size := protowire.ConsumeTag(response)
		if size < 0 {
			return n, fmt.Errorf("read an answer: %w", protowire.ParseError(size))
		}
		response = response[size:]
		if field != 1 || kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(field, kind, response); size < 0 {
				return n, fmt.Errorf("read an answer: %w", protowire.ParseError(size))
			}
			response = response[size:]
			continue
		}
		result, size := protowire.ConsumeBytes(response)
		if size < 0 {
			return n, fmt.Errorf("read an answer: %w", protowire.ParseError(size))
		}
		response = response[size:]
		// The status comes first, as every encoder writes it.
		if field, kind, size := protowire.ConsumeTag(result); size > 0 && field == 1 && kind == protowire.VarintType {
			if status, size := protowire.ConsumeVarint(result[size:]); size > 0 && status == created {
				n++
			}
		}
	}
	return n, nil
}

const packedResultSize = 16

// createdInPacked counts the results of a packed response, of transfers or accounts, that say created.
func createdInPacked(response []byte) (int, error) {
	for len(response) > 0 {
		field, kind, size := protowire.ConsumeTag(response)
		if size < 0 {
			return 0, fmt.Errorf("read an answer: %w", protowire.ParseError(size))
		}
		if field == 1 && kind == protowire.BytesType {
			results, size := protowire.ConsumeBytes(response[size:])
			if size < 0 {
				return 0, fmt.Errorf("read an answer: %w", protowire.ParseError(size))
			}
			n := 0
			for ; len(results) >= packedResultSize; results = results[packedResultSize:] {
				if binary.LittleEndian.Uint32(results) == uint32(created) {
					n++
				}
			}
			return n, nil
		}
		value := protowire.ConsumeFieldValue(field, kind, response[size:])
		if value < 0 {
			return 0, fmt.Errorf("read an answer: %w", protowire.ParseError(value))
		}
		response = response[size+value:]
	}
	return 0, nil
}

var createdText = []byte(`"CREATE_TRANSFER_STATUS_CREATED"`)

// createdInJSON counts the results of a JSON answer that say created.
func createdInJSON(body []byte) int { return bytes.Count(body, createdText) }
