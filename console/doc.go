// Package console serves what a person looks at: a page in the browser with money, proofs, breaks and flows. The page
// is built from web/ (tools/console.sh) and embedded; it speaks to the API like any client, with a token that the
// person enters.
//
// It never answers a call of the API, never sees a token, and knows nothing of the ledger. Start reading at [Handler].
package console
