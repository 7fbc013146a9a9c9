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
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// File is a source with the keys of a file, such as a mounted secret. It picks up
// a change of the file within a second, without a restart. If the file can no
// longer be read, or no longer has a usable key, the old keys stay in use for
// StaleFor and the reason is logged.
//
// # Replacing the file
//
// Replace the file by a rename: write the new content to a temporary file in the same
// directory, such as Path with ".new" appended, and then call [os.Rename]. A rename within
// a directory is one step, so File reads the old content or the new one. Kubernetes
// replaces the files of a mounted Secret or ConfigMap by a rename too. It does not update a
// file that is mounted with subPath.
//
// A file that is written in place, as by cp or by a shell's redirection, can be read half.
// Half a JWK Set is not usable, and the old keys stay. But PEM text that ends between two
// keys is usable. Tokens of the keys that are missing are then refused until the next check.
//
// # When the file cannot be read
//
// Keys are in use until StaleFor has passed. From then on Keys returns why the file is not
// usable, and a gate answers with 503. This is so for a file that has vanished, for one
// that cannot be read, and for content without a usable key. To withdraw a key, replace the
// file by one with other keys.
//
// The log receives a warning when the file becomes unusable, and another one every 15
// minutes while it stays so and requests come. It receives an error when the keys are no
// longer used, and every 15 minutes after that.
//
// A program cannot interrupt the reading of a file, and on a dead network mount the reading
// may never end. A check that has not ended after 30 seconds counts as failed, and its
// goroutine goes on. The next request starts another check, because the file may be on a
// new mount. If that check does not end either, the following ones start 5 minutes, 30
// minutes and 3 hours after the one before. No more than five checks of a File run at a
// time, because each holds a goroutine and a thread of the operating system. If all five
// hang, the File reads the file again when one of them ends. The outcome of a check that
// ends late counts, unless a newer check has ended before.
//
// # New and concurrency
//
// [jwtgate.New] reads the file and fails if it has no usable key. Fields must not
// be changed after that. A File is safe for concurrent use and must not be
// copied.
type File struct {
	// Path is the name of the file. It may be a symbolic link that is replaced
	// when the keys change, as Kubernetes does. A file of more than 1 MiB is an
	// error.
	Path string
	// Use is what the keys must be for. "" means keys whose use member is sig, or that
	// have none; the keys of a PEM text have none. "jwt-svid" is for the bundle of a
	// SPIFFE trust domain: it means keys of that use only, and the others are ignored.
	// New refuses other values, and Use beside Parse.
	Use string
	// Parse returns the keys of the file's content. If it is nil, content that
	// starts with a brace is read like [JWKS], and other content like [PEM]. Parse is
	// called on a goroutine of the File. It may be called again while a call that has
	// not returned for 30 seconds still runs.
	Parse func([]byte) ([]*jwtgate.Key, error)
	// StaleFor is how much longer keys are used while the file cannot be read or has no
	// usable key, or while no request comes: 0 means 24 hours, as in [Remote]. That is
	// time to mend a mount that fails at night. A negative value means no longer, and the
	// minimum is a second. The time counts from a second after the start of the last
	// check that succeeded. Its end is noticed by a check, so it may last a second more. StaleFor bounds how long a key that the new content has
	// withdrawn is still accepted if the new content cannot be read.
	StaleFor time.Duration
	// Logger receives a record when the keys change, when the file becomes unusable and
	// every 15 minutes while it is unusable, when StaleFor has passed, and when the file
	// is usable again. nil means [slog.Default].
	Logger *slog.Logger

	current   atomic.Pointer[set]   // the keys in use; nil if there are none
	failure   atomic.Pointer[error] // why the last check failed; nil if it did not
	lastCheck atomic.Int64          // when the last check began, in nanoseconds since 1970

	mu sync.Mutex // guards the fields below, and changes of those above

	inFlight    *fileCheck    // nil if no check is in flight; a check that hangs is not
	hanging     int           // how many checks have hung for hangTimeout and have not ended
	pause       time.Duration // replaces checkInterval after a check that hangs; otherwise 0
	lastStarted fileCheck     // the last check that has begun
	lastEnded   uint64        // the highest number of a check that has ended

	parsed  *parsedFile  // the content that was parsed last; nil if the file could not be read since
	goodAt  time.Time    // when the last check that succeeded began; zero if none has
	failing *fileFailure // nil if the last check succeeded
}

// A fileCheck is one reading of the file.
type fileCheck struct {
	number uint64 // 1 for the first check
	start  time.Time
	done   chan struct{} // closed when the check has ended and its outcome is logged
	alarm  *time.Timer   // calls hang
}

// A parsedFile is the outcome for a content of the file.
type parsedFile struct {
	sum [sha256.Size]byte
	set *set
	err error
}

// A fileFailure is a time in which the file is not usable.
type fileFailure struct {
	since time.Time
	err   error  // the reason that the last check has found
	text  string // of err

	// What the last record in the log says. loggedAt is zero if there is no record.
	loggedAt   time.Time
	loggedText string
	loggedKeys bool // whether keys were in use
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
	// hangTimeout is the time after which a check counts as failed.
	hangTimeout = 30 * time.Second

	maxFileBytes = 1 << 20
)

// pauses has, for each number of checks that hang, the time between the start of the last
// check and the next one. With one more check that hangs there is no next one: each holds
// a thread, and a program may have many Files.
var pauses = [...]time.Duration{hangTimeout, 5 * time.Minute, 30 * time.Minute, 3 * time.Hour}

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
// seconds after the start of a check, or one second if the check before did not end.
//
// If the file does not have kid, Keys checks the file again, at most ten times a
// second. If that check fails, Keys returns the reason, since the key may be in the
// content that cannot be read. Keys also returns the reason if the keys are older than
// StaleFor allows.
func (f *File) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	// The age comes before the keys: a check that another request starts between them may
	// take the keys out of use.
	age := f.age()
	found, known := f.current.Load().find(issuer, kid)
	if !known || age >= checkInterval {
		done := f.check(ctx, !known)
		s := f.current.Load()
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

// Recheck returns keys of the file that are not among tried and that may have signed a token
// with kid and algorithm. If there are none, it checks the file again, at most ten times a
// second. It waits for the check until ctx ends, but not longer than a second.
func (f *File) Recheck(ctx context.Context, issuer, kid, algorithm string, tried []*jwtgate.Key) []*jwtgate.Key {
	w := wanted{kid, algorithm}
	found, known := f.current.Load().find(issuer, kid)
	// Keys has already looked for a key ID that is not known.
	if !known || f.hasNone(algorithm) || ctx.Err() != nil {
		return nil
	}
	if found = w.untried(found, tried); len(found) > 0 {
		return found
	}
	if !f.check(ctx, true) {
		return nil
	}
	found, _ = f.current.Load().find(issuer, kid)
	return w.untried(found, tried)
}

// hasNone reports whether the File never has a key for algorithm: without Parse it reads
// public keys only.
func (f *File) hasNone(algorithm string) bool { return f.Parse == nil && isSecret(algorithm) }

// CheckIssuers reads the file and returns why it has no keys, or an error for
// each of issuers that no key serves. It does not read the file if a field cannot be
// used, and returns an error about the field.
func (f *File) CheckIssuers(issuers []string) error {
	if f.Path == "" {
		return errors.New("keys.File: Path is empty; set it to the name of the file")
	}
	switch form := keyform.Of([]byte(f.Path)); form {
	case keyform.FileName, keyform.OtherText:
	case keyform.Address:
		return fmt.Errorf("keys.File: Path is %s; use keys.Remote, which fetches keys from an address", form)
	case keyform.PEM, keyform.BareBase64:
		return fmt.Errorf("keys.File: Path is %s instead of the name of a file; use keys.PEM", form)
	case keyform.JWKSet:
		return fmt.Errorf("keys.File: Path is %s instead of the name of a file; use keys.JWKS", form)
	default:
		return fmt.Errorf("keys.File: Path is %s instead of the name of a file", form)
	}
	if f.StaleFor > 0 && f.StaleFor < minFreshFor {
		return fmt.Errorf("keys.File: StaleFor: %s", logtext.TooShort(f.StaleFor, minFreshFor))
	}
	if err := checkUse("keys.File", f.Use, f.Parse != nil); err != nil {
		return err
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
// request has started. Otherwise check returns true at once. missing is set if the key of
// the request was not found. check returns false if ctx or the timeout ended the wait.
func (f *File) check(ctx context.Context, missing bool) bool {
	now := time.Now()
	f.mu.Lock()
	f.dropStale(now)
	log := f.failureRecord(now)
	f.mu.Unlock()
	log() // before the new check can log that the file is usable again

	f.mu.Lock()
	now = time.Now()
	timeout := checkTimeout
	if f.current.Load() == nil {
		missing = true // the keys may have become stale just now
		if f.pause == 0 {
			timeout = firstCheckTimeout
		}
	}
	c := f.inFlight
	switch {
	case c == nil && f.checkDue(now, missing):
		c = f.start(now)
	case !missing:
		c = nil
	}
	f.mu.Unlock()
	if c == nil {
		return true
	}

	timer := time.NewTimer(timeout - elapsed(c.start, now))
	defer timer.Stop()
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// checkDue reports whether the last check is old enough for another one. The caller
// holds mu, and no check is in flight.
func (f *File) checkDue(now time.Time, missing bool) bool {
	switch age := f.age(); {
	case f.hanging > len(pauses):
		return false
	case f.pause > 0:
		return elapsed(f.lastStarted.start, now) >= f.pause
	case missing:
		return age >= unknownKeyInterval
	default:
		return age >= checkInterval
	}
}

// start starts a check. The caller holds mu, and no check is in flight.
func (f *File) start(now time.Time) *fileCheck {
	c := &fileCheck{number: f.lastStarted.number + 1, start: now, done: make(chan struct{})}
	c.alarm = time.AfterFunc(hangTimeout, func() { f.hang(c) })
	f.inFlight, f.lastStarted = c, *c
	f.lastCheck.Store(now.UnixNano())
	// Reading a file cannot be interrupted, so another goroutine does it.
	go func() {
		// This error is recorded if Parse calls runtime.Goexit.
		outcome := parsedFile{err: errors.New("the check did not end: Parse stopped its goroutine with runtime.Goexit")}
		isRead := true
		defer func() {
			if r := recover(); r != nil { // from the handler of Logger
				outcome.err = fmt.Errorf("reading its keys panicked: %v", r)
			}
			f.end(c, outcome, isRead)
		}()
		content, err := f.read()
		if err != nil {
			outcome.err, isRead = err, false
			return
		}
		outcome.sum = sha256.Sum256(content)
		f.mu.Lock()
		last := f.parsed
		f.mu.Unlock()
		if last != nil && last.sum == outcome.sum {
			outcome = *last
			return
		}
		outcome.set, outcome.err = f.parse(content)
	}()
	return c
}

// hang counts a check as failed that has not ended for hangTimeout.
func (f *File) hang(c *fileCheck) {
	f.mu.Lock()
	log := func() {}
	if f.inFlight == c {
		f.inFlight = nil
		f.hanging++
		err := fmt.Errorf("reading it has not ended after %s", logtext.Duration(hangTimeout))
		if f.hanging <= len(pauses) {
			f.pause = pauses[f.hanging-1]
		} else {
			err = fmt.Errorf("%d readings of it have not ended, so it is read again only when one of them ends", f.hanging)
		}
		log = f.fail(err)
	}
	f.mu.Unlock()
	log()
}

// end records the outcome of a check, and then writes the log and wakes the requests that
// wait. isRead is false if the file could not be read.
func (f *File) end(c *fileCheck, outcome parsedFile, isRead bool) {
	defer close(c.done)
	f.mu.Lock()
	c.alarm.Stop()
	if f.inFlight == c {
		f.inFlight = nil
	} else {
		f.hanging--
	}
	f.pause = 0
	log := func() {}
	if c.number > f.lastEnded {
		f.lastEnded = c.number
		changed := f.parsed == nil || f.parsed.sum != outcome.sum
		f.parsed = nil // a file that can be read again is parsed and logged again
		if isRead {
			f.parsed = &outcome
		}
		if outcome.err != nil {
			log = f.fail(outcome.err)
		} else {
			log = f.succeed(c, outcome.set, changed)
		}
	}
	f.mu.Unlock()
	log()
}

// succeed makes s the keys in use. It returns a function that writes the log. The caller
// holds mu.
func (f *File) succeed(c *fileCheck, s *set, changed bool) (log func()) {
	attrs := []any{"path", f.Path, "keys", len(s.all)}
	if f.failing != nil && !f.failing.loggedAt.IsZero() {
		attrs = append(attrs, "failed_for", logtext.Duration(elapsed(f.failing.since, time.Now())))
		changed = true
	}
	f.goodAt, f.failing = c.start, nil
	f.failure.Store(nil)
	f.current.Store(s)
	if !changed {
		return func() {}
	}
	return f.record(slog.LevelInfo, "jwtgate: key file read", attrs)
}

// fail records why a check has failed. It returns a function that writes the log. The
// caller holds mu.
func (f *File) fail(err error) (log func()) {
	if of := new(fs.PathError); errors.As(err, &of) {
		err = &unreadableFile{of}
	}
	now := time.Now()
	if f.failing == nil {
		f.failing = &fileFailure{since: now}
	}
	f.failing.err = fmt.Errorf("%s: %w", f.name(), err)
	f.failing.text = f.failing.err.Error()
	f.dropStale(now)
	f.storeFailure()
	return f.failureRecord(now)
}

// dropStale takes the keys out of use if they are older than StaleFor allows. The caller
// holds mu.
func (f *File) dropStale(now time.Time) {
	if f.current.Load() != nil && f.usableFor(now) <= 0 {
		f.current.Store(nil)
		f.storeFailure()
	}
}

// storeFailure sets failure, which Keys returns. The caller holds mu.
func (f *File) storeFailure() {
	if f.failing == nil {
		return
	}
	err := f.failing.err
	if f.current.Load() == nil && !f.goodAt.IsZero() {
		err = fmt.Errorf("%w; its last keys are no longer used, because StaleFor is %s", err, logtext.Duration(f.staleFor()))
	}
	f.failure.Store(&err)
}

// failureRecord returns a function that logs why the file is not usable. The function does
// nothing if the log already has the reason and no reminder is due. It does nothing either
// if there never were keys: then nothing but the error of Keys has the reason. The caller
// holds mu.
func (f *File) failureRecord(now time.Time) (log func()) {
	if f.failing == nil || f.goodAt.IsZero() {
		return func() {}
	}
	failing, hasKeys := f.failing, f.current.Load() != nil
	if !failing.loggedAt.IsZero() && failing.loggedText == failing.text && failing.loggedKeys == hasKeys &&
		elapsed(failing.loggedAt, now) < reminderInterval {
		return func() {}
	}
	failing.loggedAt, failing.loggedText, failing.loggedKeys = now, failing.text, hasKeys
	attrs := []any{"path", f.Path, "error", failing.err}
	if d := elapsed(failing.since, now); d >= time.Second {
		attrs = append(attrs, "failing_for", logtext.Duration(d))
	}
	if hasKeys {
		attrs = append(attrs, "keys_usable_for", logtext.Duration(f.usableFor(now)))
		return f.record(slog.LevelWarn, "jwtgate: key file not usable, the old keys stay", attrs)
	}
	return f.record(slog.LevelError, "jwtgate: key file not usable, and no keys are in use", attrs)
}

// record returns a function that writes a record to the log.
func (f *File) record(level slog.Level, message string, attrs []any) (log func()) {
	return func() {
		// The handler is the user's, and this may run on a goroutine of this package,
		// where a panic would end the program.
		defer func() { _ = recover() }()
		cmp.Or(f.Logger, slog.Default()).Log(context.Background(), level, message, attrs...)
	}
}

// usableFor returns how much longer the keys of the last check that succeeded may be used.
func (f *File) usableFor(now time.Time) time.Duration {
	return f.staleFor() - (elapsed(f.goodAt, now) - checkInterval)
}

// staleFor returns StaleFor or its default. The default also replaces a value that cannot
// be meant: CheckIssuers refuses it, but is not always called.
func (f *File) staleFor() time.Duration {
	switch {
	case f.StaleFor < 0:
		return 0
	case f.StaleFor < minFreshFor:
		return defaultStaleFor
	}
	return min(f.StaleFor, century)
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
	text := bytes.TrimSpace(bytes.TrimPrefix(content, []byte("\ufeff")))
	isObject := bytes.HasPrefix(text, []byte("{"))
	if f.Parse == nil && f.Use != "" && !isObject {
		return nil, fmt.Errorf("it is %s, and Use %q needs a JWK Set", keyform.Of(content), f.Use)
	}
	if f.Parse == nil && isObject {
		s, skipped, err := parseJWKS(content, f.Use, nil)
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
