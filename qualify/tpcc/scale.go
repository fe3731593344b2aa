package tpcc

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/qualify"
)

// Scale is how much data there is. The specification has 3,000 customers per district and 100,000 items; fewer make a
// quick run, and the conditions hold all the same.
type Scale struct {
	Warehouses int
	Customers  int // of a district
	Items      int
}

const (
	districts    = 10 // of a warehouse
	customers    = 3000
	items        = 100_000
	payment0     = 1000 // cents: what every customer has paid when loaded
	leastScale   = 30   // customers, and items
	maxWarehouse = 1000
)

// Standard is the specification's scale.
func Standard(warehouses int) Scale { return Scale{warehouses, customers, items} }

// Small is a tenth of it.
func Small(warehouses int) Scale { return Scale{warehouses, customers / 10, items / 10} }

func (s Scale) check() error {
	if s.Warehouses < 1 || s.Warehouses > maxWarehouse || s.Customers < leastScale || s.Customers > customers || s.Items < leastScale || s.Items > items {
		return fmt.Errorf("a scale of %d warehouses with %d customers a district and %d items: want 1 to %d, %d to %d, %d to %d",
			s.Warehouses, s.Customers, s.Items, maxWarehouse, leastScale, customers, leastScale, items)
	}
	return nil
}

// delivered is how many of a district's first orders are delivered when loaded: 2,100 of 3,000.
func (s Scale) delivered() int { return s.Customers * 7 / 10 }

// lastNames is how many different last names there are.
func (s Scale) lastNames() int { return min(1000, s.Customers) }

// Database is a schema with the nine tables, or where they will be.
type Database struct {
	DB      *sql.DB
	Dialect qualify.Dialect
	Scale   Scale
	Seed    uint64 // of the data and of the load
}

// schema has no foreign keys, which the specification does not ask for. history has a key, since clustered engines
// replicate by it. The types are the common subset of the dialects.
var schema = []string{
	`CREATE TABLE warehouse (w_id INT NOT NULL, w_name VARCHAR(10), w_street_1 VARCHAR(20), w_street_2 VARCHAR(20), w_city VARCHAR(20),
		w_state CHAR(2), w_zip CHAR(9), w_tax DECIMAL(4,4), w_ytd DECIMAL(12,2) NOT NULL, PRIMARY KEY (w_id))`,
	`CREATE TABLE district (d_w_id INT NOT NULL, d_id INT NOT NULL, d_name VARCHAR(10), d_street_1 VARCHAR(20), d_street_2 VARCHAR(20),
		d_city VARCHAR(20), d_state CHAR(2), d_zip CHAR(9), d_tax DECIMAL(4,4), d_ytd DECIMAL(12,2) NOT NULL, d_next_o_id INT NOT NULL,
		PRIMARY KEY (d_w_id, d_id))`,
	`CREATE TABLE customer (c_w_id INT NOT NULL, c_d_id INT NOT NULL, c_id INT NOT NULL, c_first VARCHAR(16), c_middle CHAR(2),
		c_last VARCHAR(16), c_street_1 VARCHAR(20), c_street_2 VARCHAR(20), c_city VARCHAR(20), c_state CHAR(2), c_zip CHAR(9),
		c_phone CHAR(16), c_since TIMESTAMP NULL, c_credit CHAR(2), c_credit_lim DECIMAL(12,2), c_discount DECIMAL(4,4),
		c_balance DECIMAL(12,2) NOT NULL, c_ytd_payment DECIMAL(12,2) NOT NULL, c_payment_cnt INT NOT NULL, c_delivery_cnt INT NOT NULL,
		c_data VARCHAR(500), PRIMARY KEY (c_w_id, c_d_id, c_id))`,
	`CREATE INDEX customer_name ON customer (c_w_id, c_d_id, c_last, c_first)`,
	`CREATE TABLE history (h_id BIGINT NOT NULL, h_c_id INT, h_c_d_id INT, h_c_w_id INT, h_d_id INT, h_w_id INT, h_date TIMESTAMP NULL,
		h_amount DECIMAL(6,2) NOT NULL, h_data VARCHAR(24), PRIMARY KEY (h_id))`,
	`CREATE TABLE orders (o_w_id INT NOT NULL, o_d_id INT NOT NULL, o_id INT NOT NULL, o_c_id INT NOT NULL, o_entry_d TIMESTAMP NULL,
		o_carrier_id INT, o_ol_cnt INT NOT NULL, o_all_local INT, PRIMARY KEY (o_w_id, o_d_id, o_id))`,
	`CREATE INDEX orders_customer ON orders (o_w_id, o_d_id, o_c_id, o_id)`,
	`CREATE TABLE new_order (no_w_id INT NOT NULL, no_d_id INT NOT NULL, no_o_id INT NOT NULL, PRIMARY KEY (no_w_id, no_d_id, no_o_id))`,
	`CREATE TABLE order_line (ol_w_id INT NOT NULL, ol_d_id INT NOT NULL, ol_o_id INT NOT NULL, ol_number INT NOT NULL, ol_i_id INT NOT NULL,
		ol_supply_w_id INT, ol_delivery_d TIMESTAMP NULL, ol_quantity INT, ol_amount DECIMAL(6,2) NOT NULL, ol_dist_info CHAR(24),
		PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number))`,
	`CREATE TABLE item (i_id INT NOT NULL, i_im_id INT, i_name VARCHAR(24), i_price DECIMAL(5,2) NOT NULL, i_data VARCHAR(50), PRIMARY KEY (i_id))`,
	`CREATE TABLE stock (s_w_id INT NOT NULL, s_i_id INT NOT NULL, s_quantity INT NOT NULL, s_dist_01 CHAR(24), s_dist_02 CHAR(24),
		s_dist_03 CHAR(24), s_dist_04 CHAR(24), s_dist_05 CHAR(24), s_dist_06 CHAR(24), s_dist_07 CHAR(24), s_dist_08 CHAR(24),
		s_dist_09 CHAR(24), s_dist_10 CHAR(24), s_ytd INT NOT NULL, s_order_cnt INT NOT NULL, s_remote_cnt INT NOT NULL, s_data VARCHAR(50),
		PRIMARY KEY (s_w_id, s_i_id))`,
}

// create makes the empty tables.
func (d *Database) create(ctx context.Context) error {
	for _, statement := range schema {
		if _, err := d.DB.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the tables: %.40s…: %w", statement, err)
		}
	}
	return nil
}

// now is the time as the tables keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
