package journal

import "fmt"

const dayNs = 86_400 * 1_000_000_000

// DateOf returns the day of a timestamp (ns since 1970) in a zone that is offset minutes ahead of UTC (negative: behind).
func DateOf(ns uint64, offset int32) Date {
	local := int64(ns) + int64(offset)*60_000_000_000 //nolint:gosec // ns ≤ MaxTimestamp
	if local < 0 {
		return 0
	}
	return Date(local / dayNs) //nolint:gosec // days of 63 bits of ns
}

// Start returns the first timestamp of the day (ns since 1970) in a zone that is offset minutes ahead of UTC.
func (d Date) Start(offset int32) uint64 {
	ns := int64(d)*dayNs - int64(offset)*60_000_000_000
	return uint64(max(0, ns))
}

// String returns the day as 2026-01-31.
func (d Date) String() string {
	y, m, day := d.civil()
	return fmt.Sprintf("%04d-%02d-%02d", y, m, day)
}

// civil turns days since 1970 into a date of the Gregorian calendar. It counts years from March, so that the leap day
// is the last one; 400 years have 146,097 days.
func (d Date) civil() (year, month, day int) {
	z := int(d) + 719_468 // days since 0000-03-01
	era := z / 146_097
	doe := z - era*146_097
	yoe := (doe - doe/1460 + doe/36_524 - doe/146_096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = doy - (153*mp+2)/5 + 1
	month = mp + 3
	year = yoe + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// NewDate returns the day of a date of the Gregorian calendar; ok is false where there is none, or before 1970-01-02.
func NewDate(year, month, day int) (d Date, ok bool) {
	if year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	y, m := year, month-3
	if m < 0 {
		m += 12
		y--
	}
	era := y / 400
	yoe := y - era*400
	doe := yoe*365 + yoe/4 - yoe/100 + (153*m+2)/5 + day - 1
	n := era*146_097 + doe - 719_468
	if n <= 0 {
		return 0, false
	}
	d = Date(n)
	gotYear, gotMonth, gotDay := d.civil()
	return d, gotYear == year && gotMonth == month && gotDay == day
}

// ParseDate reads a day written as 2026-01-31.
func ParseDate(s string) (Date, error) {
	var y, m, day int
	if len(s) == 10 && s[4] == '-' && s[7] == '-' && digits(s[:4], &y) && digits(s[5:7], &m) && digits(s[8:], &day) {
		if d, ok := NewDate(y, m, day); ok {
			return d, nil
		}
	}
	return 0, fmt.Errorf("date %q: want a day such as 2026-01-31", s)
}

func digits(s string, n *int) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
		*n = *n*10 + int(c-'0')
	}
	return true
}
