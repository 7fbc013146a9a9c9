package keys

import (
	"bytes"
	"context"
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

	current atomic.Pointer[set] // the last good keys
	looked  atomic.Int64        // when the last look began, in nanoseconds since 1970

	mu    sync.Mutex
	under chan struct{} // closed when the look under way ends; nil if there is none

	// Of the last look, and used by the one under way only.
	content []byte
	err     atomic.Pointer[error]
}

const (
	// lookEvery is how old what is known of the file may get.
	lookEvery = time.Second
	// lookAgain is how soon the file is looked at again for a key ID that it
	// did not have. It bounds what forged key IDs can cause.
	lookAgain = 100 * time.Millisecond
	// lookTimeout is how long a request waits for a slow file system if there
	// are keys to go on with.
	lookTimeout = time.Second

	mostFileBytes = 1 << 20
)

// Keys returns the keys of the file as it was at most a second ago. Once a
// second one request looks at the file; the others do no I/O.
func (f *File) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	s := f.current.Load()
	looked := f.looked.Load()
	age := time.Duration(time.Now().UnixNano() - looked)
	missing := s == nil || kid != "" && !s.has(kid) && len(s.anyID) == 0
	if age >= lookEvery || missing && age >= lookAgain || age < 0 {
		// Who comes second has a look under way to wait for, if its key is
		// missing, and otherwise goes on with what there is.
		if f.looked.CompareAndSwap(looked, time.Now().UnixNano()) || missing {
			f.look(ctx, s != nil)
			s = f.current.Load()
		}
	}
	if s != nil {
		return s.find(issuer, kid), nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.err.Load(); err != nil && *err != nil {
		return nil, *err
	}
	return nil, errors.New("keys.File: the file has not been read yet")
}

// CheckIssuers reads the file and returns why it has no keys.
func (f *File) CheckIssuers([]string) error {
	if f.Path == "" {
		return errors.New("keys.File: Path is empty; name the file")
	}
	_, err := f.Keys(context.Background(), "", "")
	return err
}

// look waits for a look at the file, its own or the one under way. The look
// has a goroutine of its own, since reading a file cannot be interrupted.
func (f *File) look(ctx context.Context, impatient bool) {
	f.mu.Lock()
	done := f.under
	if done == nil {
		done = make(chan struct{})
		f.under = done
		go func() {
			f.load()
			f.mu.Lock()
			f.under = nil
			f.mu.Unlock()
			close(done)
		}()
	}
	f.mu.Unlock()

	var timeout <-chan time.Time
	if impatient {
		timer := time.NewTimer(lookTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-done:
	case <-ctx.Done():
	case <-timeout:
	}
}

// load reads the file and makes its keys the current ones.
func (f *File) load() {
	content, err := f.read()
	if err == nil && f.content != nil && bytes.Equal(content, f.content) {
		return // nothing new, and what was wrong with it has been said
	}
	var s *set
	if err == nil {
		f.content = content
		s, err = f.parse(content)
	} else {
		f.content = nil // what comes back is new
	}

	logger := f.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if err != nil {
		err = fmt.Errorf("keys.File %s: %w", f.Path, err)
		last := f.err.Swap(&err)
		if f.current.Load() != nil && (last == nil || *last == nil || (*last).Error() != err.Error()) {
			logger.Warn("jwtgate: key file not usable, the old keys stay", "path", f.Path, "error", err)
		}
		return
	}
	f.err.Store(nil)
	f.current.Store(s)
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
	ks, err := parse(content)
	if err == nil {
		err = checkKeys(ks)
	}
	if err != nil {
		return nil, err
	}
	return newSet(ks, nil), nil
}
