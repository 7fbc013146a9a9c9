package keys

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/keyform"
)

// File is a source with the keys of a file, such as a mounted secret. It picks up
// a change of the file within a second, without a restart. If the file can no
// longer be read, or no longer has a usable key, the old keys stay in use and the
// reason is logged.
//
// [jwtgate.New] reads the file and fails if it has no usable key. Fields must not
// be changed after that. A File is safe for concurrent use and must not be
// copied.
type File struct {
	// Path is the name of the file. It may be a symbolic link that is replaced
	// when the keys change, as Kubernetes does. A file of more than 1 MiB is an
	// error.
	Path string
	// Parse returns the keys of the file's content. If it is nil, content that
	// starts with a brace is read like [JWKS], and other content like [PEM].
	Parse func([]byte) ([]*jwtgate.Key, error)
	// Logger receives a record when the keys change, and when the file becomes
	// unusable. nil means [slog.Default].
	Logger *slog.Logger

	current   atomic.Pointer[set]   // the last good keys; nil if there never were any
	failure   atomic.Pointer[error] // why the last check failed; nil if it did not
	lastCheck atomic.Int64          // when the last check began, in nanoseconds since 1970

	mu       sync.Mutex
	inFlight chan struct{} // closed when the check in flight ends; nil if none is

	// parsed is the hash of the content that was parsed last. Only the check in
	// flight uses it.
	parsed *[sha256.Size]byte
}

const (
	// checkInterval is the time between two checks of the file.
	checkInterval = time.Second
	// unknownKeyInterval replaces checkInterval for a request whose key ID is
	// not in the file. It bounds the reads that forged key IDs can cause.
	unknownKeyInterval = 100 * time.Millisecond
	// checkTimeout bounds how long after the start of a check requests wait for
	// it. firstCheckTimeout replaces it as long as there are no keys.
	checkTimeout      = time.Second
	firstCheckTimeout = 10 * time.Second

	maxFileBytes = 1 << 20
)

// Format prints the path, whatever the verb. It leaves out a Path that may be a key.
func (f *File) Format(s fmt.State, _ rune) { fmt.Fprint(s, f.name()) }

// name returns what errors and logs call the File. It leaves out a Path that is not the
// name of a file, because it may be a key.
func (f *File) name() string {
	if form := keyform.Of([]byte(f.Path)); form != keyform.FileName && form != keyform.OtherText || len(f.Path) > 200 {
		return "keys.File"
	}
	return "keys.File " + f.Path
}

// Keys returns the keys of the last check that succeeded. If the last check is a
// second old, one request starts a new one and waits for it, for at most a second; the
// other requests do no I/O. As long as there are no keys, requests wait for up to ten
// seconds.
//
// If the file does not have kid, Keys checks the file again, at most ten times a
// second. If that check fails, Keys returns the reason, since the key may be in the
// content that cannot be read.
func (f *File) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	s := f.current.Load()
	found, known := s.find(issuer, kid)
	if !known || f.age() >= checkInterval {
		done := f.check(ctx, s == nil, !known)
		s = f.current.Load()
		if found, known = s.find(issuer, kid); !known {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := f.failure.Load(); err != nil {
				return nil, *err
			}
			if !done || s == nil {
				return nil, fmt.Errorf("%s: reading it takes too long", f.name())
			}
		}
	}
	return found, nil
}

// CheckIssuers reads the file and returns why it has no keys, or an error for
// each of issuers that no key serves.
func (f *File) CheckIssuers(issuers []string) error {
	if f.Path == "" {
		return errors.New("keys.File: Path is empty; set it to the name of the file")
	}
	switch form := keyform.Of([]byte(f.Path)); form {
	case keyform.FileName, keyform.OtherText:
	case keyform.Address:
		return fmt.Errorf("keys.File: Path is %s; use keys.Remote, which fetches keys from an address", form)
	case keyform.PEM, keyform.EscapedPEM, keyform.BareBase64:
		return fmt.Errorf("keys.File: Path is %s instead of the name of a file; use keys.PEM", form)
	case keyform.JWKSet:
		return fmt.Errorf("keys.File: Path is %s instead of the name of a file; use keys.JWKS", form)
	default:
		return fmt.Errorf("keys.File: Path is %s instead of the name of a file", form)
	}
	if _, err := f.Keys(context.Background(), "", ""); err != nil {
		return err
	}
	return f.current.Load().checkIssuers(issuers)
}

// CheckAlgorithms returns an error if none of the keys is for one of algorithms. The
// file need not have a key for each of them, because it may get one later.
func (f *File) CheckAlgorithms(algorithms []string) error {
	s := f.current.Load()
	if s == nil {
		return nil // CheckIssuers returns the reason
	}
	if missing := s.lacks(algorithms); len(missing) == len(algorithms) {
		return noKeyFor(f.name(), missing, s.algorithms())
	}
	return nil
}

// age returns the time since the last check began. It is large if the clock was
// set back.
func (f *File) age() time.Duration {
	age := time.Duration(time.Now().UnixNano() - f.lastCheck.Load())
	if age < 0 {
		return checkInterval
	}
	return age
}

// check starts a check of the file if the last one is old enough, and waits until
// it has ended. A request that misses its key also waits for a check that another
// request has started. Otherwise check returns true at once. first is set if there are
// no keys yet, and missing if the key of the request was not found. check returns false
// if ctx or the timeout ended the wait.
func (f *File) check(ctx context.Context, first, missing bool) bool {
	f.mu.Lock()
	done := f.inFlight
	switch age := f.age(); {
	case done != nil && !missing, done == nil && age < checkInterval && !(missing && age >= unknownKeyInterval):
		f.mu.Unlock()
		return true
	case done == nil:
		f.lastCheck.Store(time.Now().UnixNano())
		done = make(chan struct{})
		f.inFlight = done
		// Reading a file cannot be interrupted, so another goroutine does it.
		go func() {
			defer func() { // runs even if Parse calls runtime.Goexit
				f.mu.Lock()
				f.inFlight = nil
				f.mu.Unlock()
				close(done)
			}()
			f.load()
		}()
	}
	f.mu.Unlock()

	timeout := checkTimeout
	if first {
		timeout = firstCheckTimeout
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

// load reads the file. It makes its keys the current ones, or records why it
// cannot.
func (f *File) load() {
	content, err := f.read()
	var s *set
	if err == nil {
		sum := sha256.Sum256(content)
		if f.parsed != nil && *f.parsed == sum {
			return // the outcome for this content is already recorded and logged
		}
		f.parsed = &sum
		s, err = f.parse(content)
	} else {
		f.parsed = nil // parse the content again once it can be read
	}

	logger := cmp.Or(f.Logger, slog.Default())
	if err != nil {
		if of := new(fs.PathError); errors.As(err, &of) {
			err = &unreadableFile{of}
		}
		err = fmt.Errorf("%s: %w", f.name(), err)
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

// An unreadableFile is the error of a file that cannot be read. Its text leaves out the
// path, which the name of the File has.
type unreadableFile struct{ err *fs.PathError }

func (u *unreadableFile) Error() string { return fmt.Sprintf("cannot %s it: %v", u.err.Op, u.err.Err) }
func (u *unreadableFile) Unwrap() error { return u.err }

func (f *File) read() ([]byte, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("it has more than %d bytes", maxFileBytes)
	}
	return content, err
}

func (f *File) parse(content []byte) (*set, error) {
	text := bytes.TrimSpace(content)
	if f.Parse == nil && bytes.HasPrefix(text, []byte("{")) {
		s, skipped, err := parseJWKS(content, nil)
		if err != nil {
			return nil, notJWKS(content, err)
		}
		logSkipped(f.Logger, f.name(), skipped)
		return s, nil
	}
	parse := f.Parse
	if parse == nil {
		parse = parsePEM
	}
	return parseWith(parse, content)
}
