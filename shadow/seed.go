package shadow

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	// seedPage is how many accounts are read, and written, at a time.
	seedPage = 2000
	// seedCode is the code of the transfers of a seed, and of the accounts that give the balances.
	seedCode = 65535
)

// Seeded is what a seed did.
type Seeded struct {
	Accounts uint64 `json:"accounts"` // opened in the shadow
	Existed  uint64 `json:"existed"`  // had been there before, and stay as they are
	Closed   uint64 `json:"closed"`   // closed in the live ledger, and left out
	Balances uint64 `json:"balances"` // transfers that gave an account the balance that it has in the live ledger
}

// Seed opens the live ledger's accounts in the shadow: id, asset, code, flags, user data and address are the same, the
// metadata, which may be about people, stays behind. Each gets the balance that it has when it is read, from an account
// of the asset that only a shadow has; what is reserved is not. A seed may be repeated: it adds what is new. ErrColor where
// the ledgers are not what they should be; nothing was written then.
func Seed(ctx context.Context, live, shadow *client.Client) (s Seeded, err error) {
	if err := checkColors(ctx, live, shadow); err != nil {
		return s, err
	}
	givers := map[string]bool{}
	filter := &client.QueryFilter{Limit: seedPage}
	for {
		page, err := live.QueryAccounts(ctx, filter, nil)
		if err != nil {
			return s, fmt.Errorf("read the live ledger's accounts: %w", err)
		}
		var accounts []*client.Account
		var balances []*client.Transfer
		for _, a := range page.GetAccounts() {
			if slices.Contains(a.GetFlags(), ledgerv1.AccountFlag_ACCOUNT_FLAG_CLOSED) {
				s.Closed++
				continue
			}
			accounts = append(accounts, same(a))
			t, err := balance(a)
			if err != nil {
				return s, err
			}
			if t == nil {
				continue
			}
			balances = append(balances, t)
			if asset := a.GetAsset(); !givers[asset] {
				givers[asset] = true
				if _, err := open(ctx, shadow, &client.Account{Id: seedID(asset), Asset: asset, Code: seedCode}); err != nil {
					return s, err
				}
			}
		}
		created, err := open(ctx, shadow, accounts...)
		if s.Accounts, s.Existed = s.Accounts+created, s.Existed+uint64(len(accounts))-created; err != nil {
			return s, err
		}
		if err := s.give(ctx, shadow, balances); err != nil {
			return s, err
		}
		if filter.TimestampMin = page.GetNextTimestamp(); filter.GetTimestampMin() == 0 {
			return s, nil
		}
	}
}

func checkColors(ctx context.Context, live, shadow *client.Client) error {
	from, err := live.Admin().Status(ctx, &ledgerv1.StatusRequest{})
	if err != nil {
		return fmt.Errorf("ask the live ledger which it is: %w", err)
	}
	to, err := shadow.Admin().Status(ctx, &ledgerv1.StatusRequest{})
	if err != nil {
		return fmt.Errorf("ask the shadow which it is: %w", err)
	}
	if from.GetCell() >= journal.ShadowCells || to.GetCell() < journal.ShadowCells {
		return fmt.Errorf("%w: the cells are %d and %d", ErrColor, from.GetCell(), to.GetCell())
	}
	return nil
}

// same is an account to open as a is.
func same(a *client.Account) *client.Account {
	return &client.Account{
		Id: a.GetId(), Asset: a.GetAsset(), Code: a.GetCode(), Address: a.GetAddress(),
		UserData_128: a.GetUserData_128(), UserData_64: a.GetUserData_64(), UserData_32: a.GetUserData_32(),
		Flags: slices.DeleteFunc(slices.Clone(a.GetFlags()), func(f ledgerv1.AccountFlag) bool {
			return f == ledgerv1.AccountFlag_ACCOUNT_FLAG_IMPORTED || f == ledgerv1.AccountFlag_ACCOUNT_FLAG_LINKED
		}),
	}
}

// balance is the transfer that gives an account its balance; nil: it has none.
func balance(a *client.Account) (*client.Transfer, error) {
	debits, err := money.Parse(a.GetDebitsPosted())
	if err != nil {
		return nil, err
	}
	credits, err := money.Parse(a.GetCreditsPosted())
	if err != nil {
		return nil, err
	}
	t := &client.Transfer{
		Id: seedID("account " + a.GetId()), DebitAccountId: seedID(a.GetAsset()), CreditAccountId: a.GetId(), Asset: a.GetAsset(), Code: seedCode,
	}
	amount, negative := credits.Sub(debits)
	if negative {
		amount, _ = debits.Sub(credits)
		t.DebitAccountId, t.CreditAccountId = t.GetCreditAccountId(), t.GetDebitAccountId()
	}
	if amount.IsZero() {
		return nil, nil //nolint:nilnil // nothing to move
	}
	t.Amount = proto.String(amount.String())
	return t, nil
}

// open opens accounts that are not there yet, and returns how many.
func open(ctx context.Context, shadow *client.Client, accounts ...*client.Account) (created uint64, err error) {
	if len(accounts) == 0 {
		return 0, nil
	}
	response, err := shadow.CreateAccounts(ctx, accounts...)
	if err != nil {
		return 0, fmt.Errorf("open accounts in the shadow: %w", err)
	}
	for i, r := range response.GetResults() {
		switch r.GetStatus() {
		case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED:
			created++
		case ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_EXISTS:
		default:
			return created, fmt.Errorf("open account %s in the shadow: %v", accounts[i].GetId(), r.GetStatus())
		}
	}
	return created, nil
}

// give gives accounts their balances, unless a seed of before has.
func (s *Seeded) give(ctx context.Context, shadow *client.Client, balances []*client.Transfer) error {
	if len(balances) == 0 {
		return nil
	}
	response, err := shadow.CreateTransfers(ctx, balances...)
	if err != nil {
		return fmt.Errorf("give the shadow's accounts their balances: %w", err)
	}
	for i, r := range response.GetResults() {
		switch r.GetStatus() {
		case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED:
			s.Balances++
		case ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS,
			ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_AMOUNT,
			ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID,
			ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID: // the live balance was another then
		default:
			return fmt.Errorf("give the shadow's account %s its balance: %v", balances[i].GetCreditAccountId(), r.GetStatus())
		}
	}
	return nil
}

// seedID is an id that only a seed makes.
func seedID(what string) string {
	sum := sha256.Sum256([]byte("sterling shadow seed " + what))
	return money.LE(sum[:]).String()
}
