package mtls_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/jwtgate/jwtgate/mtls"
)

// The server asks each client for a certificate. Tokens are bound to certificates, and
// none is accepted from a client with another certificate.
func Example() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Confirm:   []jwtgate.Confirmer{mtls.Verifier{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", jwtgate.Subject(r.Context()))
	})))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()

	var t testing.T // for the helpers of the tests
	own, other := selfSigned(&t, newKey(&t)), selfSigned(&t, newKey(&t))
	for _, certificate := range []*tls.Certificate{&own, &other, nil} {
		request, _ := http.NewRequest("GET", server.URL, nil)
		request.Header.Set("Authorization", "Bearer "+boundTo(&t, own.Certificate[0]))
		response, err := client(server, certificate, 2, tls.VersionTLS13).Do(request)
		if err != nil {
			log.Fatal(err)
		}
		response.Body.Close()
		fmt.Println(response.StatusCode)
	}
	// Output:
	// 200
	// 401
	// 401
}

// nginx has no header of RFC 9440. It writes the certificate as a PEM text in which
// characters are escaped as in URLs:
//
//	ssl_verify_client optional_no_ca;
//	location / {
//		proxy_pass       http://127.0.0.1:8080;
//		proxy_set_header X-Client-Certificate $ssl_client_escaped_cert;
//	}
//
// proxy_set_header removes what a client wrote into this header. Each location that passes
// requests to the service needs the line. A location that has another proxy_set_header
// does not inherit the line of the block around it.
func ExampleVerifier_nginx() {
	fromNginx := func(r *http.Request) (thumbprint [sha256.Size]byte, err error) {
		lines := r.Header.Values("X-Client-Certificate")
		if len(lines) != 1 {
			return thumbprint, fmt.Errorf("the request has %d lines of X-Client-Certificate, wanted is one", len(lines))
		}
		text, err := url.PathUnescape(lines[0])
		if err != nil {
			return thumbprint, errors.New("X-Client-Certificate is not escaped as in a URL")
		}
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
			return thumbprint, errors.New("X-Client-Certificate is not one certificate in PEM")
		}
		return sha256.Sum256(block.Bytes), nil
	}
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Confirm:   []jwtgate.Confirmer{mtls.Verifier{Thumbprint: fromNginx}},
	})
	if err != nil {
		log.Fatal(err)
	}

	var t testing.T // for the helpers of the tests
	own, other := selfSigned(&t, newKey(&t)), selfSigned(&t, newKey(&t))
	for _, certificate := range []tls.Certificate{own, other} {
		escaped := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})))
		request := httptest.NewRequest("GET", "/", nil)
		request.Header.Set("Authorization", "Bearer "+boundTo(&t, own.Certificate[0]))
		request.Header.Set("X-Client-Certificate", escaped)
		_, err := gate.Check(request)
		fmt.Println(errors.Is(err, jwtgate.ErrProof))
	}
	// Output:
	// false
	// true
}
