package proxy

// rateOf returns the limit of a route, the same one for all that share it; nil: none. It outlives a new configuration
// that has the same one: a change elsewhere is no reason to let another burst through.
func (s *snapshot) rateOf(r *Route, was *snapshot) *rate {
	if r.Rate.PerSecond == 0 {
		return nil
	}
	key := "shared " + r.Rate.Shared
	if r.Rate.Shared == "" {
		key = "route " + r.Name
	}
	if s.rates[key] == nil {
		if old := was.rates[key]; old != nil && old.of == r.Rate {
			s.rates[key] = old
		} else {
			s.rates[key] = newRate(r.Rate)
		}
	}
	return s.rates[key]
}

// checkRates wants those that share a rate to agree on it.
func (c *Config) checkRates(f *faults) {
	shared := map[string]RateLimit{}
	for i := range c.Routes {
		rate := c.Routes[i].Rate
		if other, known := shared[rate.Shared]; rate.Shared != "" && known && other != rate {
			f.add("routes[%d].rate: %q is shared, and elsewhere it is another rate", i, rate.Shared)
		}
		shared[rate.Shared] = rate
	}
}
