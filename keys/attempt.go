package keys

import (
	"context"
	"errors"
	"fmt"
)

// An attempt calls a function on a goroutine of its own, at most once. Only the goroutine
// that made the attempt may use it.
type attempt[T any] struct {
	ctx      context.Context
	cancel   context.CancelFunc
	outcomes chan outcome[T] // receives one outcome, which must be passed to end

	started, ended bool
	outcome[T]     // set if ended
}

// An outcome is what a function has returned.
type outcome[T any] struct {
	value T
	err   error
}

// newAttempt returns an attempt that has not started. The caller must call stop.
func newAttempt[T any](ctx context.Context) *attempt[T] {
	a := &attempt[T]{outcomes: make(chan outcome[T], 1)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

func (a *attempt[T]) start(call func(context.Context) (T, error)) {
	a.started = true
	inBackground(func() (T, error) { return call(a.ctx) }, func(o outcome[T]) { a.outcomes <- o })
}

func (a *attempt[T]) end(o outcome[T]) { a.ended, a.outcome = true, o }

// stop cancels the attempt, and waits until it has ended.
func (a *attempt[T]) stop() {
	a.cancel()
	if a.started && !a.ended {
		a.end(<-a.outcomes)
	}
}

// inBackground calls call on another goroutine, and then done there. call may call the
// user's code. If that panics or calls runtime.Goexit, done gets an error.
func inBackground[T any](call func() (T, error), done func(outcome[T])) {
	go func() {
		o := outcome[T]{err: errors.New("the client or Parse stopped its goroutine with runtime.Goexit")}
		defer func() {
			if r := recover(); r != nil {
				o.err = fmt.Errorf("fetching panicked: %v", r)
			}
			done(o)
		}()
		o.value, o.err = call()
	}()
}
