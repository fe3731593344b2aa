package demo

import "time"

// hourly is how busy a bank is at the full hours of a day, relative to each other: quiet nights, lunch, the evening,
// and a sale that begins at eight.
var hourly = [24]float64{
	0.25, 0.15, 0.10, 0.10, 0.10, 0.20, 0.50, 1.00, 1.30, 1.40, 1.20, 1.40,
	1.90, 1.50, 1.10, 1.10, 1.20, 1.40, 1.80, 2.10, 6.00, 3.00, 1.20, 0.50,
}

// Profile is how busy the bank is at a time of day (0 to 24 hours; beyond, the day begins again), relative to the
// mean of the whole day.
func Profile(at time.Duration) float64 {
	const day = 24 * time.Hour
	at = (at%day + day) % day
	hour, part := int(at/time.Hour), float64(at%time.Hour)/float64(time.Hour)
	var sum float64
	for _, w := range hourly {
		sum += w
	}
	return (hourly[hour]*(1-part) + hourly[(hour+1)%24]*part) * 24 / sum
}
