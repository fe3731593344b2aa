package importer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Ledger is where the rows go. [client.Client] is one.
type Ledger interface {
	CreateAccounts(ctx context.Context, accounts ...*ledgerv1.Account) (*ledgerv1.CreateAccountsResponse, error)
	CreateTransfers(ctx context.Context, transfers ...*ledgerv1.Transfer) (*ledgerv1.CreateTransfersResponse, error)
	LookupTransfers(ctx context.Context, ids ...money.U128) ([]*ledgerv1.Transfer, error)
}

// step is how many accounts or transfers one call carries; the API takes up to 8,190.
const step = 4000

// Options of an import.
type Options struct {
	File   string
	Format Format
	// Skip imports the other rows when one has a fault. Without it, a fault of the file means that nothing is sent,
	// and a refusal by the ledger ends the import there.
	Skip bool
	// Report is told every fault, may be nil.
	Report func(*Fault)
	// Progress is told how many rows are done, may be nil.
	Progress func(rows int)
}

// Summary is what an import did, or with Check would do.
type Summary struct {
	Rows              int `json:"rows"`
	Skipped           int `json:"skipped"`            // rows with a fault in the file
	Refused           int `json:"refused"`            // rows that the ledger refused, in whole or in part
	AccountsCreated   int `json:"accounts_created"`   // Check: those the rows name
	AccountsExisting  int `json:"accounts_existing"`  // as they should be, from an earlier import for instance
	TransfersCreated  int `json:"transfers_created"`  // Check: those the rows make
	TransfersExisting int `json:"transfers_existing"` // likewise
}

// ErrFaults is the error of an import that found rows it can't import. Each was reported.
var ErrFaults = errors.New("the import has faults")

// Check reads and converts every row, and sends nothing. Its summary counts what would be created in an empty ledger.
// The error is ErrFaults if a row has a fault, also with Skip.
func Check(ctx context.Context, m *Mapping, o Options) (Summary, error) {
	var s Summary
	seen := map[string]bool{}
	err := eachRow(ctx, m, o, &s, func(x *item) error {
		for _, a := range x.accounts {
			if !seen[a.GetId()] {
				seen[a.GetId()] = true
				s.AccountsCreated++
			}
		}
		s.TransfersCreated += len(x.transfers)
		return nil
	})
	if err == nil && s.Skipped > 0 {
		err = fmt.Errorf("%w: %d of %d rows can't be read", ErrFaults, s.Skipped, s.Rows)
	}
	return s, err
}

// Run imports a file. It may be repeated, also after it was interrupted: what was imported before is found and not
// changed. Accounts of a row come before its transfers; several transfers of one row succeed or fail together. The
// error is ErrFaults if a row was skipped or refused.
func Run(ctx context.Context, ledger Ledger, m *Mapping, o Options) (Summary, error) {
	if !o.Skip { // nothing half done: every row is understood before the first is sent
		quiet := o
		quiet.Progress = nil
		if s, err := Check(ctx, m, quiet); err != nil {
			return Summary{Rows: s.Rows, Skipped: s.Skipped}, err
		}
	}
	r := &run{ledger: ledger, options: o, opened: map[string]bool{}}
	err := eachRow(ctx, m, o, &r.Summary, func(x *item) error {
		if r.full(x) {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
		r.items = append(r.items, x)
		r.transfers += len(x.transfers)
		r.accounts += len(x.accounts)
		return nil
	})
	if err == nil {
		err = r.flush(ctx)
	}
	if err == nil && r.Skipped+r.Refused > 0 {
		err = fmt.Errorf("%w: of %d rows, %d can't be read and %d were refused", ErrFaults, r.Rows, r.Skipped, r.Refused)
	}
	return r.Summary, err
}

// eachRow converts the rows of a file; s counts them and their faults.
func eachRow(ctx context.Context, m *Mapping, o Options, s *Summary, use func(*item) error) (err error) {
	rows, file, err := openRows(o.File, o.Format, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	c := newConverter(m)
	for ctx.Err() == nil {
		r, err := rows.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		s.Rows++
		var x *item
		if err == nil {
			if x, err = c.convert(r); err != nil {
				err = &Fault{o.File, r.line, err}
			}
		}
		fault := (*Fault)(nil)
		if errors.As(err, &fault) {
			s.Skipped++
			o.report(fault)
			continue
		}
		if err == nil {
			err = use(x)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (o *Options) report(f *Fault) {
	if o.Report != nil {
		o.Report(f)
	}
}

// run is an import on its way.
type run struct {
	Summary
	ledger  Ledger
	options Options
	opened  map[string]bool // accounts sent, by id: false if the ledger refused it

	items               []*item // waiting to be sent
	accounts, transfers int     // of items
	done                int     // rows
}

func (r *run) full(x *item) bool {
	return len(r.items) > 0 && (r.transfers+len(x.transfers) > step || r.accounts+len(x.accounts) > step)
}

// flush sends what waits: accounts, then the transfers of rows whose accounts are all there.
func (r *run) flush(ctx context.Context) error {
	if len(r.items) == 0 {
		return nil
	}
	faults, err := r.sendAccounts(ctx)
	if err != nil {
		return err
	}
	var good []*item
	for _, x := range r.items {
		if err := r.accountFault(x, faults); err != nil {
			if err := r.refuse(x, err); err != nil {
				return err
			}
			continue
		}
		good = append(good, x)
	}
	if err := r.sendTransfers(ctx, good); err != nil {
		return err
	}
	r.done += len(r.items)
	r.items, r.accounts, r.transfers = r.items[:0], 0, 0
	if r.options.Progress != nil {
		r.options.Progress(r.done)
	}
	return nil
}

// refuse counts and reports a row that the ledger refused; without Skip it ends the import.
func (r *run) refuse(x *item, reason error) error {
	r.Refused++
	f := &Fault{r.options.File, x.line, reason}
	r.options.report(f)
	if r.options.Skip {
		return nil
	}
	return fmt.Errorf("%w: the ledger refused a row; rows before it were imported: mend the cause and import again", ErrFaults)
}

// sendAccounts opens the accounts that were not sent yet, and returns those refused, with why.
func (r *run) sendAccounts(ctx context.Context) (map[string]error, error) {
	var list []*ledgerv1.Account
	for _, x := range r.items {
		for _, a := range x.accounts {
			if _, ok := r.opened[a.GetId()]; !ok {
				r.opened[a.GetId()] = true
				list = append(list, a)
			}
		}
	}
	faults := map[string]error{}
	if len(list) == 0 {
		return faults, nil
	}
	response, err := r.ledger.CreateAccounts(ctx, list...)
	if err != nil {
		return nil, fmt.Errorf("open accounts of %s, lines %d to %d: %w", r.options.File, r.items[0].line, r.items[len(r.items)-1].line, err)
	}
	for i, result := range response.GetResults() {
		switch result.GetStatus() {
		case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED:
			r.AccountsCreated++
		case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_EXISTS:
			r.AccountsExisting++
		default:
			r.opened[list[i].GetId()] = false
			faults[list[i].GetId()] = fmt.Errorf("account %s: %v", list[i].GetId(), result.GetStatus())
		}
	}
	return faults, nil
}

func (r *run) accountFault(x *item, faults map[string]error) error {
	for _, a := range x.accounts {
		if err := faults[a.GetId()]; err != nil {
			return err
		}
		if !r.opened[a.GetId()] {
			return fmt.Errorf("account %s was refused before", a.GetId())
		}
	}
	return nil
}

func (r *run) sendTransfers(ctx context.Context, items []*item) error {
	var list []*ledgerv1.Transfer
	for _, x := range items {
		list = append(list, x.transfers...)
	}
	if len(list) == 0 {
		return nil
	}
	response, err := r.ledger.CreateTransfers(ctx, list...)
	if err != nil {
		return fmt.Errorf("send transfers of %s, lines %d to %d: %w", r.options.File, items[0].line, items[len(items)-1].line, err)
	}
	chains, err := r.lookUpChains(ctx, items, response.GetResults())
	if err != nil {
		return err
	}
	results := response.GetResults()
	var refusal error
	for _, x := range items {
		mine := results[:len(x.transfers)]
		results = results[len(x.transfers):]
		if err := r.count(x, mine, chains); err != nil && refusal == nil {
			refusal = err
		}
	}
	return refusal
}

// lookUpChains fetches the transfers of rows whose first transfer exists: that fails the others of the row, which says
// nothing about them.
func (r *run) lookUpChains(ctx context.Context, items []*item, results []*ledgerv1.CreateTransferResult) (map[string]*ledgerv1.Transfer, error) {
	var ids []money.U128
	for _, x := range items {
		mine := results[:len(x.transfers)]
		results = results[len(x.transfers):]
		if len(mine) < 2 || mine[0].GetStatus() != exists {
			continue
		}
		for _, t := range x.transfers {
			id, err := money.Parse(t.GetId())
			if err != nil {
				return nil, err
			}
			ids = append(ids, id)
		}
	}
	found := map[string]*ledgerv1.Transfer{}
	if len(ids) == 0 {
		return found, nil
	}
	list, err := r.ledger.LookupTransfers(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("look up what was imported before: %w", err)
	}
	for _, t := range list {
		found[t.GetId()] = t
	}
	return found, nil
}

const (
	created = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED
	exists  = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
	chained = ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED
)

// count judges the results of one row's transfers.
func (r *run) count(x *item, results []*ledgerv1.CreateTransferResult, chains map[string]*ledgerv1.Transfer) error {
	there := len(results) > 0 && results[0].GetStatus() == exists
	for i, result := range results {
		t := x.transfers[i]
		switch status := result.GetStatus(); {
		case status == created:
			r.TransfersCreated++
		case status == exists:
			r.TransfersExisting++
		case status == chained && there: // imported before, if it is the same
			if !same(t, chains[t.GetId()]) {
				return r.refuse(x, fmt.Errorf("transfer %s was imported before, with other fields", t.GetId()))
			}
			r.TransfersExisting++
		case status == chained: // another one of the row has the cause
		default:
			return r.refuse(x, fmt.Errorf("transfer %s: %v", t.GetId(), status))
		}
	}
	return nil
}

// same reports whether a transfer is recorded as it is asked for now.
func same(asked, was *ledgerv1.Transfer) bool {
	user := asked.GetUserData_128()
	if user == "" {
		user = "0"
	}
	return was != nil && asked.GetDebitAccountId() == was.GetDebitAccountId() && asked.GetCreditAccountId() == was.GetCreditAccountId() &&
		asked.GetAmount() == was.GetAmount() && asked.GetAsset() == was.GetAsset() && asked.GetCode() == was.GetCode() &&
		user == was.GetUserData_128() && asked.GetUserData_64() == was.GetUserData_64() && asked.GetUserData_32() == was.GetUserData_32()
}
