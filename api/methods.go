package api

import (
	"slices"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
)

// allMethods lists every procedure with the permission it takes.
func (s *Server) allMethods() map[string]*method {
	list := []*method{
		{path: ledgerv1connect.LedgerServiceCreateAccountsProcedure, permission: auth.Write, hot: createAccounts()},
		{path: ledgerv1connect.LedgerServiceCreateTransfersProcedure, permission: auth.Write, hot: createTransfers()},
		{path: ledgerv1connect.LedgerServiceCreateTransfersStreamProcedure, permission: auth.Write, hot: createTransfersStream()},
		{path: ledgerv1connect.LedgerServiceCreateAccountsPackedProcedure, permission: auth.Write, hot: createAccountsPacked()},
		{path: ledgerv1connect.LedgerServiceCreateTransfersPackedProcedure, permission: auth.Write, hot: createTransfersPacked()},
		{path: ledgerv1connect.LedgerServiceLookupAccountsProcedure, permission: auth.Read, hot: lookupAccounts()},
		{path: ledgerv1connect.LedgerServiceLookupAccountsPackedProcedure, permission: auth.Read, hot: lookupAccountsPacked()},
		{path: ledgerv1connect.LedgerServiceLookupTransfersProcedure, permission: auth.Read, hot: lookupTransfers()},
		{path: ledgerv1connect.LedgerServiceGetAccountTransfersProcedure, permission: auth.Read, cold: unary((*Server).getAccountTransfers)},
		{path: ledgerv1connect.LedgerServiceGetAccountBalancesProcedure, permission: auth.Read, cold: unary((*Server).getAccountBalances)},
		{path: ledgerv1connect.LedgerServiceQueryAccountsProcedure, permission: auth.Read, cold: unary((*Server).queryAccounts)},
		{path: ledgerv1connect.LedgerServiceQueryTransfersProcedure, permission: auth.Read, cold: unary((*Server).queryTransfers)},
		{path: ledgerv1connect.LedgerServiceFreezeProcedure, permission: auth.Operate, cold: unary((*Server).freeze)},
		{path: ledgerv1connect.LedgerServiceUnfreezeProcedure, permission: auth.Operate, cold: unary((*Server).unfreeze)},
		{path: ledgerv1connect.LedgerServiceListFreezesProcedure, permission: auth.Read, cold: unary((*Server).listFreezes)},
		{path: ledgerv1connect.LedgerServiceSetVelocityLimitsProcedure, permission: auth.Operate, cold: unary((*Server).setVelocityLimits)},
		{path: ledgerv1connect.LedgerServiceRegisterAssetsProcedure, permission: auth.Write, cold: unary((*Server).registerAssetsCall)},
		{path: ledgerv1connect.LedgerServiceListAssetsProcedure, permission: auth.Read, cold: unary((*Server).listAssets)},
		{path: ledgerv1connect.LedgerServiceCreateTransactionProcedure, permission: auth.Write, cold: unary((*Server).createTransaction)},
		{path: ledgerv1connect.LedgerServiceGetTransactionProcedure, permission: auth.Read, cold: unary((*Server).getTransaction)},
		{path: ledgerv1connect.LedgerServiceSetMetadataProcedure, permission: auth.Write, cold: unary((*Server).setMetadata)},
		{path: ledgerv1connect.LedgerServiceLookupAddressesProcedure, permission: auth.Read, cold: unary((*Server).lookupAddresses)},
		{path: ledgerv1connect.BooksServiceCloseDayProcedure, permission: auth.Operate, cold: unary((*Server).closeDay)},
		{path: ledgerv1connect.BooksServiceListClosesProcedure, permission: auth.Read, cold: unary((*Server).listCloses)},
		{path: ledgerv1connect.BooksServiceGetCloseProcedure, permission: auth.Read, cold: unary((*Server).getClose)},
		{path: ledgerv1connect.BooksServiceGetTrialBalanceProcedure, permission: auth.Read, cold: unary((*Server).getTrialBalance)},
		{path: ledgerv1connect.BooksServiceProposeProcedure, permission: auth.Write, cold: unary((*Server).propose)},
		{path: ledgerv1connect.BooksServiceDecideProcedure, permission: auth.Operate, cold: unary((*Server).decide)},
		{path: ledgerv1connect.BooksServiceListProposalsProcedure, permission: auth.Read, cold: unary((*Server).listProposals)},
		{path: ledgerv1connect.BooksServiceSetPolicyProcedure, permission: auth.Operate, cold: unary((*Server).setPolicy)},
		{path: ledgerv1connect.BooksServiceGetPolicyProcedure, permission: auth.Read, cold: unary((*Server).getPolicy)},
		{path: ledgerv1connect.BooksServiceListPrincipalsProcedure, permission: auth.Operate, cold: unary((*Server).listPrincipals)},
		{path: ledgerv1connect.BooksServiceRevokePrincipalProcedure, permission: auth.Operate, cold: unary((*Server).revokePrincipal)},
		{path: ledgerv1connect.HistoryServiceGetBalanceAsOfProcedure, permission: auth.Read, cold: unary((*Server).getBalanceAsOf)},
		{path: ledgerv1connect.HistoryServiceGetStatementProcedure, permission: auth.Read, cold: statements()},
		{path: ledgerv1connect.HistoryServiceGetTotalsProcedure, permission: auth.Read, cold: unary((*Server).getTotals)},
		{path: ledgerv1connect.HistoryServiceGetPendingAgeingProcedure, permission: auth.Read, cold: unary((*Server).getPendingAgeing)},
		{path: ledgerv1connect.HistoryServiceListAccountsByAddressProcedure, permission: auth.Read, cold: unary((*Server).listAccountsByAddress)},
		{path: ledgerv1connect.HistoryServiceQueryByMetadataProcedure, permission: auth.Read, cold: unary((*Server).queryByMetadata)},
		{path: ledgerv1connect.HistoryServiceRebuildIndexProcedure, permission: auth.Operate, cold: unary((*Server).rebuildIndex)},
		{path: ledgerv1connect.AdminServiceStatusProcedure, permission: auth.Read, anywhere: true, cold: unary((*Server).status)},
		{path: ledgerv1connect.AdminServiceDrainProcedure, permission: auth.Operate, anywhere: true, cold: unary((*Server).drain)},
		{path: ledgerv1connect.AdminServiceAcceptClockProcedure, permission: auth.Operate, cold: unary((*Server).acceptClock)},
		{path: ledgerv1connect.OperationsServiceBackupProcedure, permission: auth.Operate, cold: unary((*Server).backup)},
		{path: ledgerv1connect.OperationsServiceArchiveProcedure, permission: auth.Operate, cold: unary((*Server).archive)},
		{path: ledgerv1connect.OperationsServiceGetOperationProcedure, permission: auth.Operate, cold: unary((*Server).getOperation)},
		{path: ledgerv1connect.OperationsServiceCancelOperationProcedure, permission: auth.Operate, cold: unary((*Server).cancelOperation)},
		{path: ledgerv1connect.ErasureServiceEraseProcedure, permission: auth.Operate, cold: unary((*Server).erase)},
		{path: ledgerv1connect.ErasureServiceGetSubjectProcedure, permission: auth.Operate, cold: unary((*Server).getSubject)},
	}
	list = append(list, s.feedMethods()...)
	list = append(list, auditMethods()...)
	list = append(list, watchMethods()...)
	list = append(list, sandboxMethods()...)
	list = append(list, moveMethods()...)
	list = append(list, s.cellMethods()...)
	methods := make(map[string]*method, len(list))
	scoped, forwarded := scopedMethods(), forwardedMethods()
	for _, m := range list {
		m.scoped, m.forwards = slices.Contains(scoped, m.path), slices.Contains(forwarded, m.path)
		_, m.name = splitPath(m.path)
		m.metrics = s.metrics.method(m.name)
		methods[m.path] = m
	}
	return methods
}
