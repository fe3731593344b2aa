// Package feed turns a cell's durable journal blocks into events, in order and without gaps, for consumers that keep a
// position and go on after it. Sinks (the sub-packages) deliver the same events to brokers and webhooks.
//
// It only ever shows blocks that are durable and acknowledged, and never slows writes down: the cell tells it of a new
// block by [Feed.OnBlock], which copies it at most once however many subscribers there are. Who falls behind reads the
// journal. Blocks are matched as they stand in memory; only what matches becomes an event, and streams with equal filters
// share its encoding. It decides nothing about money and keeps no state but the cursors and dead letters of its sinks.
//
// Start reading at [Feed.Subscribe] and [Subscription.Next], for the API at [Feed.Stream]; what a block becomes is in
// decode.go; sinks begin at [Runner].
package feed
