package node

import "github.com/sterlingrun/sterling/watch"

// DemoStopLoss is what a demonstration's watch freezes where nothing else is configured: the account that pays, or has
// what is not its own. Accounts that everybody's money goes through, such as the settlement account, are left alone.
func DemoStopLoss() watch.StopLoss {
	return watch.StopLoss{
		Rules: []watch.StopRule{
			{
				Freeze: "none",
				Classes: []watch.Class{
					watch.MissingReceipt, watch.RuleFailed, watch.SilentSource, watch.SourceGap, watch.SourceRepeat, watch.UnknownAsset, watch.ClockJump,
				},
			},
			{Freeze: "account", Flows: []string{"card-payment", "refund", "payment", "salary", "instalment", "lending", "fee"}},
			{Freeze: "account", Classes: []watch.Class{watch.LimitExceeded, watch.MovedWhileFrozen}},
		},
		AccountsPerMinute: 10,
		AmountPerMinute:   map[string]uint64{"CNY/2": 1_000_000_00, "USD/2": 100_000_00},
	}
}
