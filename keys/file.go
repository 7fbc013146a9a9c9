package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
)

// File is a source whose keys are in a file, such as a mounted secret. A
// changed file is picked up within a second, without a restart; a file that
// cannot be read any more, or that has no usable key, leaves the old keys in
// place and says so in the log.
//
// [jwtgate.New] reads the file and fails if it cannot. Fields must not be
// changed after that. A File is safe for concurrent use and must not be copied.
type File struct {
	// Path is the name of the file. It may be a symbolic link that is changed
	// to point elsewhere, as Kubernetes does. At most 1 MiB is read.
	Path string
	// Parse returns the keys of the file's content. nil means a JWK Set if it
	// starts with a brace, read like [JWKS], and otherwise PEM, read like [PEM].
	Parse func([]byte) ([]*jwtgate.Key, error)
	// Logger is told when the keys change or cannot be changed. nil means
	// [slog.Default].
	Logger *slog.Logger

	current atomic.Pointer[set]   // the last good keys
	failure atomic.Pointer[error] // of the last look; nil if it was good
	looked  atomic.Int64          // when it began, in nanoseconds since 1970

	mu    sync.Mutex
	under chan struct{} // closed when the look under way ends; nil if there is none

	// The content that was last parsed, for the look under way only.
	parsed *[sha256.Size]byte
}

const (
	// lookEvery is how old what is known of the file may get.
	lookEvery = time.Second
	// lookAgain is how soon the file is looked at again for a key ID that it
	// did not have. It bounds what forged key IDs can cause.
	lookAgain = 100 * time.Millisecond
	// lookTimeout is how long after a look has begun requests still wait for
	// it, and firstTimeout how long if there are no keys to go on with.
	lookTimeout  = time.Second
	firstTimeout = 10 * time.Second

	mostFileBytes = 1 << 20
)

// Format prints the path, whatever the verb.
func (f *File) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "keys.File %s", f.Path) }

// Keys returns the keys of the file as it was at most a second ago. Once a
// second one request looks at the file, and the others do no I/O. For a key ID
// that the file did not have, it is looked at sooner; if that fails, Keys
// returns the reason, since the key may be in what cannot be read.
func (f *File) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	s := f.current.Load()
	found, known := s.find(issuer, kid)
	if !known || f.age() >= lookEvery {
		told := f.look(ctx, s == nil, !known)
		s = f.current.Load()
		if found, known = s.find(issuer, kid); !known {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := f.failure.Load(); err != nil {
				return nil, *err
			}
			if !told || s == nil {
				return nil, fmt.Errorf("keys.File %s: reading it takes too long", f.Path)
			}
		}
	}
	return found, nil
}

// age returns the time since the last look began. A clock that was set back
// makes it large.
func (f *File) age() time.Duration {
	age := time.Duration(time.Now().UnixNano() - f.looked.Load())
	if age < 0 {
		return lookEvery
	}
	return age
}

// look waits for a look at the file where there has to be one: one under way,
// if the caller misses a key, or else one of its own, if the last is old enough.
// It returns false if it had to leave before the look ended.
func (f *File) look(ctx context.Context, first, missing bool) bool {
	f.mu.Lock()
	done := f.under
	switch age := f.age(); {
	case done != nil && !missing, done == nil && age < lookEvery && !(missing && age >= lookAgain):
		f.mu.Unlock()
		return true
	case done == nil:
		f.looked.Store(time.Now().UnixNano())
		done = make(chan struct{})
		f.under = done
		// A goroutine of its own, since reading a file cannot be interrupted.
		go func() {
			defer func() { // also if Parse ends the goroutine
				f.mu.Lock()
				f.under = nil
				f.mu.Unlock()
				close(done)
			}()
			f.load()
		}()
	}
	f.mu.Unlock()

	timeout := lookTimeout
	if first {
		timeout = firstTimeout
	}
	timer := time.NewTimer(timeout - f.age())
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// CheckIssuers reads the file and returns why it has no keys, or for which of
// issuers.
func (f *File) CheckIssuers(issuers []string) error {
	if f.Path == "" {
		return errors.New("keys.File: Path is empty; name the file")
	}
	if _, err := f.Keys(context.Background(), "", ""); err != nil {
		return err
	}
	return f.current.Load().checkIssuers(issuers)
}

// load reads the file and makes its keys the current ones.
func (f *File) load() {
	content, err := f.read()
	var s *set
	if err == nil {
		sum := sha256.Sum256(content)
		if f.parsed != nil && *f.parsed == sum {
			return // nothing new, and what was wrong with it has been said
		}
		f.parsed = &sum
		s, err = f.parse(content)
	} else {
		f.parsed = nil // what comes back is new
	}

	logger := orDefaultLogger(f.Logger)
	if err != nil {
		err = fmt.Errorf("keys.File %s: %w", f.Path, err)
		last := f.failure.Swap(&err)
		if f.current.Load() != nil && (last == nil || (*last).Error() != err.Error()) {
			logger.Warn("jwtgate: key file not usable, the old keys stay", "path", f.Path, "error", err)
		}
		return
	}
	f.current.Store(s)
	f.failure.Store(nil)
	logger.Info("jwtgate: key file read", "path", f.Path, "keys", len(s.all))
}

func (f *File) read() ([]byte, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, mostFileBytes+1))
	if err == nil && len(content) > mostFileBytes {
		err = fmt.Errorf("it has more than %d bytes", mostFileBytes)
	}
	return content, err
}

func (f *File) parse(content []byte) (*set, error) {
	text := bytes.TrimSpace(content)
	if f.Parse == nil && bytes.HasPrefix(text, []byte("{")) {
		s, skipped, err := parseJWKS(content, nil)
		if err != nil {
			return nil, err
		}
		logSkipped(f.Logger, "keys.File "+f.Path, skipped)
		return s, nil
	}
	parse := f.Parse
	if parse == nil {
		parse = parsePEM
	}
	return parseWith(parse, content)
}

// parseWith makes a set of what parse, which is somebody else's, returns.
func parseWith(parse func([]byte) ([]*jwtgate.Key, error), content []byte) (_ *set, err error) {
	defer func() {
		// No request's goroutine runs this, so a panic would end the program.
		if r := recover(); r != nil {
			err = fmt.Errorf("reading its keys panicked: %v", r)
		}
	}()
	ks, err := parse(content)
	if err == nil {
		err = checkKeys(ks)
	}
	if err != nil {
		return nil, err
	}
	return newSet(ks, nil), nil
}
