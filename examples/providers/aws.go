package providers

import "github.com/jwtgate/jwtgate"

// AWSLoadBalancer accepts the access tokens that an AWS Application Load Balancer passes on
// after it has signed a user in. provider is the recipe of the identity provider behind it:
//
//	options := providers.AWSLoadBalancer(providers.Cognito("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example", "1example23456789"))
//
// The access token must be a JWT, as those of Cognito are. The header with it was made by the
// identity provider, so it is safe to read even if somebody gets past the load balancer.
//
// The other header, X-Amzn-Oidc-Data, cannot be used with a gate. It looks like a JWT but is
// not one: its parts are padded base64, which RFC 7515 section 2 does not allow, and iss and
// exp are in its header, where RFC 7519 does not look for them. It has no aud. Somebody who
// has a load balancer of their own can get such a value with any claims, signed with the same
// keys of AWS, so only the signer in the header says that it is from yours. If your provider
// has no access tokens that are JWTs, let only the load balancer reach the service (by
// security groups), and verify that header and its signer as the documentation of Elastic
// Load Balancing says.
//
// The load balancer adds the header to every request of a signed-in browser, also to one that
// another site causes. Protect handlers that change something, for example by
// http.CrossOriginProtection outside the gate.
//
// A load balancer that only verifies the tokens of clients (the action jwt-validation) passes
// them on in Authorization: use the recipe of the identity provider unchanged.
func AWSLoadBalancer(provider jwtgate.Options) jwtgate.Options {
	provider.Extract = jwtgate.Header("X-Amzn-Oidc-Accesstoken")
	return provider
}
