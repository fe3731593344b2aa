package mysql

// Before has fn told the steps of transactions; an error of it is as if the connection were lost there. Nil: nobody is
// told.
func (t *Target) Before(fn func(step string) error) {
	if fn == nil {
		fn = func(string) error { return nil }
	}
	t.before = fn
}
