package bench

func (b *watchBench) cases() error { return nil }
