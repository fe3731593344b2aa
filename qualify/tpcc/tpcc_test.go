package tpcc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/qualifytest"
	"github.com/sterlingrun/sterling/qualify/tpcc"
)

// tiny is as little data as there may be: enough for every transaction and condition.
var tiny = tpcc.Scale{Warehouses: 2, Customers: 40, Items: 200}

func TestALoadKeepsTheConditions(t *testing.T) {
	qualifytest.Both(t, func(t *testing.T, target *qualify.Target) {
		s := &qualify.Section{}
		o := tpcc.Options{Scale: tiny, Terminals: 6, Duration: 2 * time.Second, Seed: 7}
		if err := tpcc.Run(t.Context(), target, o, s); err != nil {
			t.Fatal(err)
		}
		if failed := s.Failed(); len(failed) > 0 {
			t.Fatalf("failed: %+v", failed)
		}
		for _, id := range []string{"tpcc.fresh", "tpcc.3.3.2.1", "tpcc.3.3.2.12", "tpcc.acknowledged", "tpcc.New-Order", "tpcc.Delivery", "tpcc.Stock-Level", "tpcc.Order-Status", "tpcc.Payment"} {
			c := s.Find(id)
			if c == nil {
				t.Fatalf("no check %s", id)
			}
			t.Log(c.Title, ": ", c.Found)
			if len(c.Measures) > 3 && c.Measures[0].Value == 0 {
				t.Errorf("none of %s was done", c.Title)
			}
		}
	})
}

// alterations break one condition each, on freshly loaded data. Others may break with it.
var alterations = map[int]string{
	1:  `UPDATE warehouse SET w_ytd = w_ytd + 0.01 WHERE w_id = 1`,
	2:  `UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = 2 AND d_id = 10`,
	3:  `DELETE FROM new_order WHERE no_w_id = 1 AND no_d_id = 1 AND no_o_id = 30`,
	4:  `UPDATE orders SET o_ol_cnt = o_ol_cnt + 1 WHERE o_w_id = 1 AND o_d_id = 3 AND o_id = 4`,
	5:  `UPDATE orders SET o_carrier_id = 3 WHERE o_w_id = 1 AND o_d_id = 1 AND o_id = 40`,
	6:  `DELETE FROM order_line WHERE ol_w_id = 2 AND ol_d_id = 2 AND ol_o_id = 2`,
	7:  `UPDATE order_line SET ol_delivery_d = NULL WHERE ol_w_id = 1 AND ol_d_id = 1 AND ol_o_id = 1 AND ol_number = 1`,
	8:  `UPDATE history SET h_amount = h_amount - 0.01 WHERE h_c_w_id = 1 AND h_c_d_id = 1 AND h_c_id = 1`,
	9:  `UPDATE district SET d_ytd = d_ytd - 0.01 WHERE d_w_id = 1 AND d_id = 1`,
	10: `UPDATE customer SET c_balance = c_balance - 0.01 WHERE c_w_id = 1 AND c_d_id = 1 AND c_id = 1`,
	11: `DELETE FROM orders WHERE o_w_id = 1 AND o_d_id = 1 AND o_id = 1`,
	12: `UPDATE customer SET c_ytd_payment = c_ytd_payment + 0.01 WHERE c_w_id = 2 AND c_d_id = 5 AND c_id = 7`,
}

// TestAlteredRowsAreFound: for each of the twelve conditions, rows are altered, and it is the one that breaks.
func TestAlteredRowsAreFound(t *testing.T) {
	qualifytest.Both(t, func(t *testing.T, target *qualify.Target) {
		d := &tpcc.Database{DB: target.Nodes[0], Dialect: target.Dialect, Scale: tiny, Seed: 3}
		if err := d.Load(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		check(t, d.DB, 0)
		for number := 1; number <= 12; number++ {
			t.Run(fmt.Sprintf("3.3.2.%d", number), func(t *testing.T) { alter(t, d, number) })
		}
		check(t, d.DB, 0)
	})
}

// alter breaks a condition in a transaction, looks from there, and takes it back.
func alter(t *testing.T, d *tpcc.Database, number int) {
	tx, err := d.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}()
	result, err := tx.ExecContext(t.Context(), alterations[number])
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%d rows altered, error %v", n, err)
	}
	check(t, tx, number)
}

// check wants the condition with a number broken, or none.
func check(t *testing.T, q tpcc.Querier, number int) {
	t.Helper()
	broken, err := tpcc.Check(t.Context(), q, tiny, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(broken) != 12 {
		t.Fatalf("%d conditions were checked, want 12", len(broken))
	}
	for _, b := range broken {
		if b.Number == number && b.Rows == 0 {
			t.Errorf("condition 3.3.2.%d holds, although rows were altered", b.Number)
		}
		if number == 0 && b.Rows != 0 {
			t.Errorf("condition 3.3.2.%d (%s) is broken by %d rows", b.Number, b.Text, b.Rows)
		}
	}
}

// TestWhatWasAcknowledgedIsCompared: an order and a payment vanish after the load, as an engine could lose them, and the
// load's own books know.
func TestWhatWasAcknowledgedIsCompared(t *testing.T) {
	for statement, red := range map[string]string{
		"DELETE FROM history WHERE h_id IN (SELECT MAX(h_id) FROM history)":                     "tpcc.3.3.2.8",
		"DELETE FROM orders WHERE o_w_id = 1 AND o_d_id = 1 AND o_id = 41":                      "tpcc.3.3.2.7",
		"INSERT INTO history (h_id, h_w_id, h_d_id, h_amount) VALUES (7000000000, 1, 1, -0.00)": "tpcc.acknowledged",
	} {
		t.Run(red, func(t *testing.T) {
			target := qualifytest.PostgreSQL(t)
			s, planted := &qualify.Section{}, false
			o := tpcc.Options{Scale: tiny, Terminals: 4, Duration: 500 * time.Millisecond, Seed: 5, Progress: func(_ float64, text string) {
				if text != "checking the consistency conditions" {
					return
				}
				result, err := target.Nodes[0].ExecContext(t.Context(), statement)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := result.RowsAffected()
				planted = n > 0
			}}
			if err := tpcc.Run(t.Context(), target, o, s); err != nil || !planted {
				t.Fatalf("planted %v, error %v", planted, err)
			}
			for _, id := range []string{red, "tpcc.acknowledged"} {
				if c := s.Find(id); c == nil || c.Outcome != qualify.Fail {
					t.Errorf("%s: %+v", id, c)
				}
			}
		})
	}
}
