package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// tenants is the list of the issuers that are trusted now. Its zero value trusts nobody.
// Its methods are safe for concurrent use.
type tenants struct {
	// Requests only read the map, and set replaces it as a whole. So no request waits for a
	// lock, and none sees half of a change.
	current atomic.Pointer[map[string]bool]
}

// trusts is the function for [jwtgate.Options.TrustIssuer]. The gate calls it for each
// request, remembered tokens included, with the iss of a token that is not verified yet. So
// it only compares. It does not look for a pattern, because anybody could make up issuers
// that match.
func (t *tenants) trusts(issuer string) bool {
	list := t.current.Load()
	return list != nil && (*list)[issuer]
}

// set replaces the list. The next request is decided by the new one.
func (t *tenants) set(issuers []string) {
	list := make(map[string]bool, len(issuers))
	for _, issuer := range issuers {
		list[issuer] = true
	}
	t.current.Store(&list)
}

// load sets the list to the issuers in a file, one a line. Empty lines and lines that start
// with # do not count. If there is an error, the list does not change.
func (t *tenants) load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var issuers []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		// keys.Remote fetches the keys from this address. Whoever can write the file decides
		// who signs in, so a typing error must not become a trusted name.
		u, err := url.Parse(line)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(line, " \t") {
			return fmt.Errorf("%s: %q is not the URL of an issuer", path, line)
		}
		issuers = append(issuers, line)
	}
	if len(issuers) == 0 {
		// An empty file is more likely a mistake than the wish to lock everybody out.
		return errors.New(path + ": it has no issuers; to trust nobody, stop the service")
	}
	t.set(issuers)
	return nil
}

// follow loads the file again and again until ctx ends. While the file cannot be used, the
// last list counts: trust that is withdrawn then is withdrawn once the file is mended, so
// alert on the error.
func (t *tenants) follow(ctx context.Context, path string, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := t.load(path); err != nil {
				logger.ErrorContext(ctx, "the list of issuers cannot be used, the old one stays", "error", err)
			}
		}
	}
}
