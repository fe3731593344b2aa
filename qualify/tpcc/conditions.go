package tpcc

import (
	"context"
	"database/sql"
	"fmt"
)

// Condition is one of clause 3.3.2. Its statement counts the rows that break it.
type Condition struct {
	Number int // 1 to 12
	Text   string
	// Fresh: it holds only before the first transaction.
	Fresh bool

	statement string
}

// Broken is how many rows break a condition.
type Broken struct {
	Condition
	Rows int64
}

// Conditions are all twelve. They are set-based, the same text for every dialect, and look from both sides: an order
// line without its order breaks one as well as an order without its lines.
func Conditions(s Scale) []Condition { return append(firstConditions(), lastConditions(s)...) }

func firstConditions() []Condition {
	return []Condition{
		{
			1, "a warehouse's W_YTD is the sum of its districts' D_YTD", false,
			`SELECT COUNT(*) FROM warehouse LEFT JOIN (SELECT d_w_id, SUM(d_ytd) AS paid FROM district GROUP BY d_w_id) d ON d_w_id = w_id
			WHERE w_ytd <> COALESCE(paid, 0)`,
		},
		{
			2, "a district's D_NEXT_O_ID - 1 is its highest order, and its highest new order", false,
			`SELECT COUNT(*) FROM district
			LEFT JOIN (SELECT o_w_id, o_d_id, MAX(o_id) AS last_order FROM orders GROUP BY o_w_id, o_d_id) o ON o_w_id = d_w_id AND o_d_id = d_id
			LEFT JOIN (SELECT no_w_id, no_d_id, MAX(no_o_id) AS last_new FROM new_order GROUP BY no_w_id, no_d_id) n ON no_w_id = d_w_id AND no_d_id = d_id
			WHERE d_next_o_id - 1 <> COALESCE(last_order, 0) OR d_next_o_id - 1 <> COALESCE(last_new, last_order, 0)`,
		},
		{
			3, "a district's new orders are numbered without gaps", false,
			`SELECT COUNT(*) FROM (SELECT no_w_id, no_d_id FROM new_order GROUP BY no_w_id, no_d_id
			HAVING MAX(no_o_id) - MIN(no_o_id) + 1 <> COUNT(*)) q`,
		},
		{
			4, "the O_OL_CNT of a district's orders add up to its order lines", false,
			`SELECT COUNT(*) FROM district
			LEFT JOIN (SELECT o_w_id, o_d_id, SUM(o_ol_cnt) AS said FROM orders GROUP BY o_w_id, o_d_id) o ON o_w_id = d_w_id AND o_d_id = d_id
			LEFT JOIN (SELECT ol_w_id, ol_d_id, COUNT(*) AS there FROM order_line GROUP BY ol_w_id, ol_d_id) l ON ol_w_id = d_w_id AND ol_d_id = d_id
			WHERE COALESCE(said, 0) <> COALESCE(there, 0)`,
		},
		{
			5, "an order has no carrier if, and only if, it is a new order", false,
			`SELECT COUNT(*) FROM (
			SELECT o_id FROM orders LEFT JOIN new_order ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id
			WHERE (o_carrier_id IS NULL) <> (no_o_id IS NOT NULL)
			UNION ALL
			SELECT no_o_id FROM new_order LEFT JOIN orders ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id WHERE o_id IS NULL) q`,
		},
		{
			6, "an order has O_OL_CNT order lines", false,
			`SELECT COUNT(*) FROM orders
			LEFT JOIN (SELECT ol_w_id, ol_d_id, ol_o_id, COUNT(*) AS there FROM order_line GROUP BY ol_w_id, ol_d_id, ol_o_id) l
			ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id WHERE o_ol_cnt <> COALESCE(there, 0)`,
		},
	}
}

func lastConditions(s Scale) []Condition {
	return []Condition{
		{
			7, "an order line has no delivery date if, and only if, its order has no carrier", false,
			`SELECT COUNT(*) FROM order_line LEFT JOIN orders ON o_w_id = ol_w_id AND o_d_id = ol_d_id AND o_id = ol_o_id
			WHERE o_id IS NULL OR (ol_delivery_d IS NULL) <> (o_carrier_id IS NULL)`,
		},
		{
			8, "a warehouse's W_YTD is the sum of its payments in HISTORY", false,
			`SELECT COUNT(*) FROM warehouse LEFT JOIN (SELECT h_w_id, SUM(h_amount) AS paid FROM history GROUP BY h_w_id) h ON h_w_id = w_id
			WHERE w_ytd <> COALESCE(paid, 0)`,
		},
		{
			9, "a district's D_YTD is the sum of its payments in HISTORY", false,
			`SELECT COUNT(*) FROM district LEFT JOIN (SELECT h_w_id, h_d_id, SUM(h_amount) AS paid FROM history GROUP BY h_w_id, h_d_id) h
			ON h_w_id = d_w_id AND h_d_id = d_id WHERE d_ytd <> COALESCE(paid, 0)`,
		},
		{
			10, "a customer's C_BALANCE is what was delivered less what was paid", false,
			`SELECT COUNT(*) FROM customer ` + deliveredOf + `
			LEFT JOIN (SELECT h_c_w_id, h_c_d_id, h_c_id, SUM(h_amount) AS paid FROM history GROUP BY h_c_w_id, h_c_d_id, h_c_id) h
			ON h_c_w_id = c_w_id AND h_c_d_id = c_d_id AND h_c_id = c_id
			WHERE c_balance <> COALESCE(delivered, 0) - COALESCE(paid, 0)`,
		},
		{
			11, fmt.Sprintf("freshly loaded, a district has %d orders more than new orders", s.delivered()), true,
			fmt.Sprintf(`SELECT COUNT(*) FROM district
			LEFT JOIN (SELECT o_w_id, o_d_id, COUNT(*) AS all_orders FROM orders GROUP BY o_w_id, o_d_id) o ON o_w_id = d_w_id AND o_d_id = d_id
			LEFT JOIN (SELECT no_w_id, no_d_id, COUNT(*) AS new_orders FROM new_order GROUP BY no_w_id, no_d_id) n ON no_w_id = d_w_id AND no_d_id = d_id
			WHERE COALESCE(all_orders, 0) - COALESCE(new_orders, 0) <> %d`, s.delivered()),
		},
		{
			12, "a customer's C_BALANCE + C_YTD_PAYMENT is what was delivered", false,
			`SELECT COUNT(*) FROM customer ` + deliveredOf + ` WHERE c_balance + c_ytd_payment <> COALESCE(delivered, 0)`,
		},
	}
}

// deliveredOf joins a customer with the sum of its delivered order lines.
const deliveredOf = `LEFT JOIN (SELECT o_w_id, o_d_id, o_c_id, SUM(ol_amount) AS delivered FROM orders
	JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id
	WHERE ol_delivery_d IS NOT NULL GROUP BY o_w_id, o_d_id, o_c_id) l
	ON o_w_id = c_w_id AND o_d_id = c_d_id AND o_c_id = c_id`

// Querier is a *sql.DB, or a transaction to look from.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Check counts the rows that break each condition; those that hold only on fresh data are left out unless fresh is
// set. Nothing may write meanwhile.
func Check(ctx context.Context, q Querier, s Scale, fresh bool) (list []Broken, err error) {
	for _, c := range Conditions(s) {
		if c.Fresh && !fresh {
			continue
		}
		b := Broken{Condition: c}
		if err := q.QueryRowContext(ctx, c.statement).Scan(&b.Rows); err != nil {
			return nil, fmt.Errorf("check condition 3.3.2.%d: %w", c.Number, err)
		}
		list = append(list, b)
	}
	return list, nil
}
