package providers

import (
	"crypto/tls"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/jwtgate/jwtgate/mtls"
)

// FAPI accepts the access tokens that a resource server of the FAPI 2.0 Security Profile
// accepts: signed with PS256, ES256 or Ed25519 (section 5.4.1), and bound to their client
// (section 5.3.4). Serve with [FAPITLS]:
//
//	gate, err := jwtgate.New(providers.FAPI("https://auth.example.com", "https://api.example.com", "https://api.example.com"))
//	server := &http.Server{Handler: gate.Handler(orders), TLSConfig: providers.FAPITLS()}
//
// A token is bound to the certificate of its client or to a DPoP key of it. url is how
// clients call the service (see dpop.Verifier.URLs). Behind a proxy that ends TLS, set
// mtls.Verifier.Thumbprint. Several servers need dpop.Verifier.Replays.
//
// The profile also wants the resource server to look at the revocation status of a token
// (section 5.3.4). Only the issuer knows it: let Options.Validate ask, or keep a list of
// what the issuer has revoked. Short tokens make the time short in which that matters.
//
// Leeway stays at 30 seconds. The profile accepts times up to 10 seconds ahead and refuses
// those beyond 60 seconds (section 5.3.2.1, for authorization servers).
func FAPI(issuer, audience, url string) jwtgate.Options {
	algorithms := []string{"PS256", "ES256", "Ed25519"}
	return jwtgate.Options{
		// A key without alg would be for RS256, which the profile does not allow.
		Keys:       &keys.Remote{Algorithms: algorithms},
		Issuers:    []string{issuer},
		Audiences:  []string{audience},
		Algorithms: algorithms,
		Confirm: []jwtgate.Confirmer{
			mtls.Verifier{},
			&dpop.Verifier{URLs: []string{url}, Algorithms: algorithms},
		},
	}
}

// FAPITLS returns the TLS configuration for a service of FAPI 2.0: TLS 1.2 or later, and
// for TLS 1.2 only the cipher suites that BCP 195 recommends (sections 5.2.1 and 5.2.2).
// The service asks clients for a certificate. Any certificate will do: the token says
// which one (RFC 8705 section 6.2).
func FAPITLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		ClientAuth: tls.RequestClientCert,
	}
}
