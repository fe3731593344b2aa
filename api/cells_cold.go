package api

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// forwardedMethods are the paths of the methods that nodes answer for each other.
func forwardedMethods() []string {
	return []string{
		ledgerv1connect.LedgerServiceCreateAccountsProcedure,
		ledgerv1connect.LedgerServiceCreateTransfersProcedure,
		ledgerv1connect.LedgerServiceCreateTransactionProcedure,
		ledgerv1connect.LedgerServiceGetTransactionProcedure,
		ledgerv1connect.LedgerServiceSetMetadataProcedure,
		ledgerv1connect.LedgerServiceLookupAddressesProcedure,
		ledgerv1connect.LedgerServiceLookupAccountsProcedure,
		ledgerv1connect.LedgerServiceLookupTransfersProcedure,
		ledgerv1connect.LedgerServiceGetAccountTransfersProcedure,
		ledgerv1connect.LedgerServiceGetAccountBalancesProcedure,
		ledgerv1connect.LedgerServiceQueryAccountsProcedure,
		ledgerv1connect.LedgerServiceQueryTransfersProcedure,
		ledgerv1connect.LedgerServiceFreezeProcedure,
		ledgerv1connect.LedgerServiceSetVelocityLimitsProcedure,
		ledgerv1connect.HistoryServiceGetBalanceAsOfProcedure,
		ledgerv1connect.HistoryServiceGetStatementProcedure,
		ledgerv1connect.HistoryServiceListAccountsByAddressProcedure,
	}
}

var _ = context.Background
var _ proto.Message
var _ auth.Role
