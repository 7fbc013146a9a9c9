package logtext

// Explained returns an error that wraps kind. Its text is the text of kind, a colon, and
// what explain returns. explain is called each time somebody asks for the text, and by
// several goroutines at once.
func Explained(kind error, explain func() string) error { return &explained{kind, explain} }

type explained struct {
	kind    error
	explain func() string
}

func (e *explained) Error() string { return e.kind.Error() + ": " + e.explain() }
func (e *explained) Unwrap() error { return e.kind }
