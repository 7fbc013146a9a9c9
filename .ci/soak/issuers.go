package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A key is a signing key of an issuer, with what happened to it. The issuer's mu guards
// the fields below tokens.
type key struct {
	issuer  *issuer
	id      string
	method  jwt.SigningMethod
	private any
	jwk     map[string]string
	tokens  []token // good ones

	published, withdrawn time.Time
	version              int // of the first set with the key
	replaces             bool
	known, gone          map[*view]time.Time
}

// An issuer publishes its keys: by HTTP, or in a file if path is set. It can fail.
type issuer struct {
	name    string
	url     string
	path    string
	latency time.Duration
	server  *httptest.Server
	secret  *key // an HMAC key that the service has in memory; nil for most issuers

	// quiet is set while no client may send tokens that use up the limit for unknown
	// keys: then each new key must be found by its first request.
	quiet atomic.Bool

	mu        sync.Mutex // guards the fields below, and those of keys and views
	version   int
	sets      map[int][]*key // the last versions
	published []*key         // the last one signs
	retired   []*key         // the last ones that were withdrawn
	made      int
	fault     string // one of faults; "" if the issuer is up
	scope     string // the document that the fault is for; "" for all
	faultEnd  time.Time
	views     []*view
	events    []event // the last ones
}

// An event is for the report of a failure.
type event struct {
	at   time.Time
	text string
}

const (
	versionHeader = "X-Soak-Version"
	faultHeader   = "X-Soak-Fault"
	keptSets      = 100
	keptRetired   = 3
	keptEvents    = 30
)

// newIssuer returns an issuer that publishes one key.
func newIssuer(name string, latency time.Duration) *issuer {
	i := &issuer{name: name, latency: latency, sets: map[int][]*key{}}
	i.server = httptest.NewServer(i)
	i.url = i.server.URL
	i.rotate()
	return i
}

// newFileIssuer returns an issuer that publishes one key in a file.
func newFileIssuer(name, path string) *issuer {
	i := &issuer{name: name, url: "https://file.example", path: path, sets: map[int][]*key{}}
	i.rotate()
	return i
}

// newKey makes a key. The algorithms take turns.
func (i *issuer) newKey(id string) *key {
	k := &key{issuer: i, id: id, known: map[*view]time.Time{}, gone: map[*view]time.Time{}}
	encode := base64.RawURLEncoding.EncodeToString
	if i.made%2 == 0 {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		k.method, k.private = jwt.SigningMethodEdDSA, private
		k.jwk = map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}
	} else {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		point, err := private.PublicKey.Bytes()
		must(err)
		k.method, k.private = jwt.SigningMethodES256, private
		k.jwk = map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	}
	k.jwk["kid"], k.jwk["use"], k.jwk["alg"] = id, "sig", k.method.Alg()
	i.addTokens(k)
	return k
}

func (i *issuer) addTokens(k *key) {
	for range 6 {
		k.tokens = append(k.tokens, goodToken(k))
	}
}

// public returns the public key.
func (k *key) public() crypto.PublicKey { return k.private.(crypto.Signer).Public() }

// rotate publishes a new key beside the others and signs with it from now on.
func (i *issuer) rotate() *key {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	k := i.newKey(fmt.Sprintf("%s-%d", i.name, i.made))
	i.publish(append(slices.Clone(i.published), k), "publishes "+k.id)
	return k
}

// signing returns the key that signs. While no key is published, that is the last one.
func (i *issuer) signing() *key {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := i.published
	if len(list) == 0 {
		list = i.retired
	}
	return list[len(list)-1]
}

// replace puts a new key in the place of the one that signs, under the same ID.
func (i *issuer) replace() {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := len(i.published) - 1
	i.made++
	k := i.newKey(i.published[last].id)
	k.replaces = true
	i.publish(append(slices.Clone(i.published[:last]), k), "replaces "+k.id+" under its ID")
}

// withdraw ceases to publish the oldest keys, except for the last n.
func (i *issuer) withdraw(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.published) > n {
		i.publish(slices.Clone(i.published[len(i.published)-n:]), fmt.Sprintf("withdraws all keys but the last %d", n))
	}
}

// withdrawAll ceases to publish any key. The function that it returns publishes all again.
func (i *issuer) withdrawAll() (restore func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.published
	i.publish(nil, "withdraws all keys")
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.publish(all, "publishes all keys again")
		for _, v := range i.views {
			v.markNoise(0) // the keys were looked for in vain
		}
	}
}

// publish makes set the published one. A key that was withdrawn may come back. The
// caller holds mu.
func (i *issuer) publish(set []*key, what string) {
	i.version++
	if i.path != "" && i.fault == "" {
		i.writeFile(i.document(set))
	}
	now := time.Now()
	for _, k := range i.published {
		if !slices.Contains(set, k) {
			k.withdrawn = now
			i.retired = append(i.retired, k)
		}
	}
	for _, k := range set {
		if !slices.Contains(i.published, k) {
			k.published, k.version, k.withdrawn = now, i.version, time.Time{}
			clear(k.known)
			clear(k.gone)
		}
	}
	i.retired = slices.DeleteFunc(i.retired, func(k *key) bool { return slices.Contains(set, k) })
	i.retired = i.retired[max(0, len(i.retired)-keptRetired):]
	i.published = set
	i.sets[i.version] = set
	delete(i.sets, i.version-keptSets)
	i.note(what)
	i.noticeFile()
}

// document returns the JWK Set.
func (i *issuer) document(set []*key) []byte {
	jwks := []map[string]string{}
	for _, k := range set {
		jwks = append(jwks, k.jwk)
	}
	text, err := json.Marshal(map[string]any{"keys": jwks})
	must(err)
	return text
}

// note adds an event. The caller holds mu.
func (i *issuer) note(text string) {
	i.events = append(i.events, event{time.Now(), i.name + " " + text})
	i.events = i.events[max(0, len(i.events)-keptEvents):]
}

// breakWith makes the issuer fail, and mend makes it work again.
func (i *issuer) breakWith(fault, scope string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.path != "" {
		i.breakFile(fault)
	}
	i.fault, i.scope = fault, scope
	i.note(fmt.Sprintf("fails: %s %s", fault, scope))
	if i.path != "" { // the last check that succeeded was before
		for _, v := range i.views {
			v.lastGood = time.Now()
		}
	}
}

func (i *issuer) mend() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fault == "" {
		return
	}
	if i.path != "" {
		i.writeFile(i.document(i.published))
	}
	i.fault, i.faultEnd = "", time.Now()
	i.note("works again")
	i.noticeFile()
}

// ServeHTTP serves the discovery document and the keys, or fails.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if i.latency > 0 {
		time.Sleep(i.latency)
	}
	i.mu.Lock()
	fault, scope, version, set := i.fault, i.scope, i.version, i.published
	i.mu.Unlock()
	var document string
	var body []byte
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		document = "metadata"
		body = fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":%q}`, i.url, i.url+"/keys")
	case "/keys":
		document = "keys"
		body = i.document(set)
	default:
		http.NotFound(w, r)
		return
	}
	// A Remote without Client cannot be observed otherwise: its URL names the view.
	var observer *view
	for _, v := range i.views {
		if v.name == r.URL.Query().Get("view") {
			observer = v
		}
	}
	if fault != "" && (scope == "" || scope == document) {
		w.Header().Set(faultHeader, fault)
		if observer != nil {
			observer.receiveFault(fault)
		}
		faults[fault](w, r, body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if document == "keys" {
		etag := fmt.Sprintf(`"%d"`, version)
		w.Header().Set(versionHeader, strconv.Itoa(version))
		w.Header().Set("Etag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			body = nil
		}
	}
	if observer != nil {
		observer.receive(version)
	}
	w.Write(body)
}

// These faults are answers without keys, which gates treat in ways of their own.
const (
	status404   = "404"
	noUsableKey = "no usable key"
	emptySet    = "empty set"
)

// faults are the ways in which a server fails. The handlers get the good answer.
var faults = map[string]func(w http.ResponseWriter, r *http.Request, body []byte){
	"500": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		http.Error(w, "no", http.StatusInternalServerError)
	},
	"503 with Retry-After": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		http.Error(w, "no", http.StatusServiceUnavailable)
	},
	"hangs": func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() },
	"hangs in the body": func(w http.ResponseWriter, r *http.Request, body []byte) {
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
	"resets the connection": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		connection.(*net.TCPConn).SetLinger(0)
		connection.Close()
	},
	"HTML": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>Sign in</title>")
	},
	"empty answer":   func(http.ResponseWriter, *http.Request, []byte) {},
	"truncated JSON": func(w http.ResponseWriter, _ *http.Request, body []byte) { w.Write(body[:len(body)-3]) },
	status404: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		http.Error(w, "no", http.StatusNotFound)
	},
	noUsableKey: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		fmt.Fprint(w, `{"keys":[{"kty":"unheard of"}]}`)
	},
	emptySet: func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		fmt.Fprint(w, `{"keys":[]}`)
	},
}

// fileFaults are the ways in which a file fails.
var fileFaults = []string{"the file vanishes", "the file is truncated"}

func (i *issuer) breakFile(fault string) {
	if fault == fileFaults[0] {
		must(os.Remove(i.path))
		return
	}
	text := i.document(i.published)
	i.writeFile(text[:len(text)-3])
}

// writeFile replaces the file by a rename, as the documentation of keys.File wants it.
func (i *issuer) writeFile(content []byte) {
	must(os.WriteFile(i.path+".new", content, 0o600))
	must(os.Rename(i.path+".new", i.path))
}

// noticeFile records a second after a change that keys.File must have noticed it. The
// caller holds mu.
func (i *issuer) noticeFile() {
	if i.path == "" {
		return
	}
	version, faultEnd, views := i.version, i.faultEnd, i.views
	time.AfterFunc(time.Second, func() {
		i.mu.Lock()
		unchanged := i.fault == "" && i.version == version && i.faultEnd.Equal(faultEnd)
		i.mu.Unlock()
		if unchanged {
			for _, v := range views {
				v.receive(version)
			}
		}
	})
}

// history returns the last events.
func (i *issuer) history(start time.Time) string {
	var text strings.Builder
	for _, e := range i.events {
		fmt.Fprintf(&text, "    %8.3f %s\n", e.at.Sub(start).Seconds(), e.text)
	}
	return text.String()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
