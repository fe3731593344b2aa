package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// errDeadFull is why nothing more can be given up.
var errDeadFull = errors.New("the dead letters take all the space they may have: redeliver or drop some")

// maxDeadLetters bounds the list in memory.
const maxDeadLetters = 100_000

// deadLetters are the deliveries that a sink gave up on: a document each, and a list of them in memory.
type deadLetters struct {
	shelf  Shelf
	prefix string // of their names
	limit  int64

	loading sync.Mutex

	mu     sync.Mutex
	loaded bool
	list   []*ledgerv1.DeadLetter // by id, which orders like the events
	bytes  int64
}

// forget has them listed anew: another node may change them from now on.
func (d *deadLetters) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded, d.list, d.bytes = false, nil, 0
}

// deadFile is the content of a document.
type deadFile struct {
	Letter json.RawMessage `json:"letter"` // DeadLetter
	Events json.RawMessage `json:"events"` // SubscribeResponse
}

// load lists what is on the shelf, unless that was done.
func (d *deadLetters) load(ctx context.Context) error {
	d.loading.Lock()
	defer d.loading.Unlock()
	d.mu.Lock()
	loaded := d.loaded
	d.mu.Unlock()
	if loaded {
		return nil
	}
	names, err := d.shelf.Documents(ctx, d.prefix)
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	var list []*ledgerv1.DeadLetter
	var bytes int64
	for _, name := range names {
		id := strings.TrimSuffix(strings.TrimPrefix(name, d.prefix), documentSuffix)
		letter, _, err := d.read(ctx, id)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // an operator has to look at it; nothing else waits for that
			letter = &ledgerv1.DeadLetter{Id: id, Error: shortText(err)}
		}
		list = append(list, letter)
		bytes += int64(letter.GetBytes()) //nolint:gosec // the document's size
	}
	sort.Slice(list, func(i, k int) bool { return list[i].GetId() < list[k].GetId() })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded, d.list, d.bytes = true, list, bytes
	return nil
}

func (d *deadLetters) name(id string) string { return d.prefix + id + documentSuffix }

// deliveryID names a delivery by its first event, so that names order like events.
func deliveryID(first Position) string {
	return fmt.Sprintf("%d-%015d-%05d", first.Cell, first.Seq, first.Index)
}

// put makes a delivery a dead letter; it is durable when put returns nil.
func (d *deadLetters) put(ctx context.Context, v *Delivery, attempts int, reason error, now uint64) error {
	letter := &ledgerv1.DeadLetter{
		Id: v.ID, First: v.Events[0].GetPosition(), Last: v.Events[len(v.Events)-1].GetPosition(), Events: uint32(len(v.Events)), //nolint:gosec // small
		Attempts: uint32(attempts), Error: shortText(reason), Timestamp: now, //nolint:gosec // small
	}
	content, err := encodeDead(letter, v)
	if err != nil {
		return err
	}
	letter.Bytes = uint64(len(content))
	d.mu.Lock()
	defer d.mu.Unlock()
	at, known := d.search(v.ID)
	bytes := d.bytes + int64(len(content))
	if known { // it was given up before, and a crash kept the cursor from moving on
		bytes -= int64(d.list[at].GetBytes()) //nolint:gosec // a document's size
	}
	if bytes > d.limit || !known && len(d.list) >= maxDeadLetters {
		return errDeadFull
	}
	if err := d.shelf.PutDocument(ctx, d.name(v.ID), content); err != nil {
		return err
	}
	if !known {
		d.list = append(d.list, nil)
		copy(d.list[at+1:], d.list[at:])
	}
	d.list[at], d.bytes = letter, bytes
	return nil
}

func encodeDead(letter *ledgerv1.DeadLetter, v *Delivery) ([]byte, error) {
	var file deadFile
	var err error
	if file.Letter, err = protojson.Marshal(letter); err != nil {
		return nil, fmt.Errorf("encode a dead letter: %w", err)
	}
	if file.Events, err = protojson.Marshal(&ledgerv1.SubscribeResponse{Events: v.Events, ResumeAfter: v.Resume.Message()}); err != nil {
		return nil, fmt.Errorf("encode the events of a dead letter: %w", err)
	}
	return json.Marshal(file)
}

const maxErrorText = 500

func shortText(err error) string {
	return strings.ToValidUTF8(fmt.Sprintf("%.*s", maxErrorText, err.Error()), "\uFFFD")
}

// read returns a dead letter with its events. The id must be of one that is there.
func (d *deadLetters) read(ctx context.Context, id string) (*ledgerv1.DeadLetter, *Delivery, error) {
	b, err := d.shelf.Document(ctx, d.name(id))
	if err != nil {
		return nil, nil, fmt.Errorf("read dead letter %s: %w", id, err)
	}
	letter, v, err := decodeDead(b)
	if err == nil && letter.GetId() != id {
		err = fmt.Errorf("it calls itself %q", letter.GetId())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read dead letter %s: %w", d.name(id), err)
	}
	return letter, v, nil
}

func decodeDead(b []byte) (*ledgerv1.DeadLetter, *Delivery, error) {
	var file deadFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, nil, err
	}
	var letter ledgerv1.DeadLetter
	var batch ledgerv1.SubscribeResponse
	if err := errors.Join(protojson.Unmarshal(file.Letter, &letter), protojson.Unmarshal(file.Events, &batch)); err != nil {
		return nil, nil, err
	}
	resume, err := PositionOf(batch.GetResumeAfter())
	if err != nil || len(batch.GetEvents()) == 0 {
		return nil, nil, fmt.Errorf("it has %d events: %w", len(batch.GetEvents()), errors.Join(err, ErrPosition))
	}
	letter.Bytes = uint64(len(b))
	return &letter, &Delivery{ID: letter.GetId(), Events: batch.GetEvents(), Resume: resume}, nil
}

// search finds an id. mu is held.
func (d *deadLetters) search(id string) (at int, known bool) {
	at = sort.Search(len(d.list), func(i int) bool { return d.list[i].GetId() >= id })
	return at, at < len(d.list) && d.list[at].GetId() == id
}

// get returns a dead letter, or ErrNotFound.
func (d *deadLetters) get(ctx context.Context, id string) (*ledgerv1.DeadLetter, *Delivery, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.search(id); !known {
		return nil, nil, fmt.Errorf("dead letter %.80q: %w", id, ErrNotFound)
	}
	return d.read(ctx, id)
}

// after returns up to n of those after an id.
func (d *deadLetters) after(id string, n int) []*ledgerv1.DeadLetter {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, known := d.search(id)
	if known {
		at++
	}
	var list []*ledgerv1.DeadLetter
	for ; at < len(d.list) && len(list) < n; at++ {
		list = append(list, proto.CloneOf(d.list[at]))
	}
	return list
}

// remove drops a dead letter for good; ErrNotFound where it is not there (any more).
func (d *deadLetters) remove(ctx context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, known := d.search(id)
	if !known {
		return fmt.Errorf("dead letter %.80q: %w", id, ErrNotFound)
	}
	if err := d.shelf.RemoveDocument(ctx, d.name(id)); err != nil {
		return fmt.Errorf("remove dead letter %s: %w", id, err)
	}
	d.bytes -= int64(d.list[at].GetBytes()) //nolint:gosec // a document's size
	d.list = append(d.list[:at], d.list[at+1:]...)
	return nil
}

func (d *deadLetters) size() (n int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.list), d.bytes
}
