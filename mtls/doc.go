// Package mtls accepts tokens that are bound to the certificate of a TLS client (RFC
// 8705). A stolen token is useless without the private key of the certificate.
//
// Ask clients for a certificate, and add a Verifier to the gate:
//
//	server := &http.Server{TLSConfig: &tls.Config{ClientAuth: tls.RequestClientCert}}
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{},
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//		Confirm:   []jwtgate.Confirmer{mtls.Verifier{}},
//	})
//
// The claim cnf of such a token has the member x5t#S256: the SHA-256 of the certificate
// that the client used at the token endpoint. The gate accepts the token only from a
// client that shows this certificate. It answers 401 invalid_token to everybody else, and
// to tokens that are not bound (see jwtgate.Options.AllowUnbound).
//
// [tls.RequestClientCert] is enough. The handshake proves that the client holds the
// private key, and the issuer has chosen the certificate. A server that only compares the
// certificate need not know who has signed it, so self-signed certificates serve too (RFC
// 8705 section 6.2). With [tls.RequireAndVerifyClientCert], clients also need a
// certificate of one of your CAs. Do not use certificates for anything else under
// RequestClientCert: their names are not verified.
//
// A client that renews its certificate needs a new token (RFC 8705 section 6.3). A browser
// whose user has certificates may show a dialogue when a server asks for one.
//
// # Behind a proxy
//
// If a proxy ends TLS, the certificate of the client comes in a header. Name the function
// that reads it:
//
//	verifier := mtls.Verifier{Thumbprint: mtls.ClientCert}
//
// [ClientCert] reads Client-Cert (RFC 9440), for HAProxy and Cloudflare. [XFCC] reads
// X-Forwarded-Client-Cert, for Envoy. The example of [Verifier] reads a header of nginx.
//
// The functions believe the header. Certificates are public, so the header proves nothing
// by itself. If a client can write it, a thief of a token writes the certificate that the
// token is bound to, and nothing fails and nothing is logged (RFC 9440 section 4). So
//
//   - let the proxy remove or replace the header in each request, also in requests of
//     clients without a certificate;
//   - let nobody but the proxy reach the service: no other port, no other network, no
//     second proxy.
//
// What proxies do with a header that the client wrote:
//
//   - Envoy replaces X-Forwarded-Client-Cert only with forward_client_cert_details:
//     SANITIZE_SET. The default SANITIZE removes it and adds nothing. With FORWARD_ONLY and
//     ALWAYS_FORWARD_ONLY the header of the client arrives here. With APPEND_FORWARD it
//     arrives too, with the element of Envoy behind it; XFCC refuses two elements.
//   - nginx replaces the header that proxy_set_header names, and removes no other. A
//     location that has a proxy_set_header of its own inherits none, so it passes on what
//     the client wrote.
//   - HAProxy removes nothing by itself. First comes http-request del-header Client-Cert,
//     and then http-request set-header Client-Cert ":%[ssl_c_der,base64]:" if { ssl_c_used }.
//   - Cloudflare removes nothing by itself. A rule that removes Client-Cert has to come
//     before the rule that sets it.
//   - A proxy that does not know the header, such as Traefik with Client-Cert, passes it on.
//
// To test a deployment, send a request without a certificate through the proxy, with a
// bound token and with the header of the certificate. The answer must be 401.
//
// # Caches
//
// An answer that depends on Client-Cert must have Cache-Control: no-store or Vary:
// Client-Cert (RFC 9440 section 2.4). The gate sends no-store with its refusals. The
// answers of handlers are yours. A cache that does not follow RFC 9111 section 3.5, which
// protects answers to requests with Authorization, would give them to others.
package mtls
