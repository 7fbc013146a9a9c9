// An authorization server on loopback, made with oidc-provider. It prints its issuer. All
// users sign in without a page, as "alice". It signs them in with the first of acr_values.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const scope = 'orders:read orders:write notes:read notes:write notes:share';
const redirects = { redirect_uris: ['http://127.0.0.1:9/callback'], response_types: ['code'], application_type: 'native' };

const provider = new Provider(issuer, {
	jwks: { keys: [{ ...key, kid: 'provider', use: 'sig', alg: 'ES256' }] },
	cookies: { keys: [randomBytes(16).toString('hex')] },
	clients: [
		{ client_id: 'app', token_endpoint_auth_method: 'none', grant_types: ['authorization_code'], ...redirects },
		{
			client_id: 'service', client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
		},
		{
			client_id: 'bound', client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
			tls_client_certificate_bound_access_tokens: true,
		},
	],
	clientDefaults: { id_token_signed_response_alg: 'ES256' },
	enabledJWA: { idTokenSigningAlgValues: ['ES256'], dPoPSigningAlgValues: ['ES256', 'Ed25519', 'PS256'] },
	acrValues: ['pwd', 'mfa'],
	findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
	// RFC 9068 section 2.2.1.
	extraTokenClaims(ctx) {
		const code = ctx.oidc.entities.AuthorizationCode;
		return code && { acr: code.acr, auth_time: code.authTime };
	},
	interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
	features: {
		clientCredentials: { enabled: true },
		devInteractions: { enabled: false },
		dPoP: { enabled: true, nonceSecret: randomBytes(32) },
		mTLS: {
			enabled: true,
			certificateBoundAccessTokens: true,
			// As behind a proxy that ends TLS.
			getCertificate: (ctx) => ctx.get('x-client-certificate') && decodeURIComponent(ctx.get('x-client-certificate')),
		},
		registration: { enabled: true },
		resourceIndicators: {
			enabled: true,
			useGrantedResource: () => true,
			getResourceServerInfo: (_, resource) => ({
				scope, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } },
			}),
		},
	},
	scopes: ['openid', 'offline_access'],
});

async function interact(req, res) {
	const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
	if (prompt.name === 'login') {
		const acr = params.acr_values?.split(' ')[0] ?? 'pwd';
		return provider.interactionFinished(req, res, { login: { accountId: 'alice', acr } });
	}
	const grant = (grantId && await provider.Grant.find(grantId)) || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
	const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
	if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
	if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
	for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '));
	return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

const callback = provider.callback();
server.on('request', (req, res) => {
	if (!req.url.startsWith('/interaction/')) return callback(req, res);
	interact(req, res).catch((error) => {
		res.statusCode = 500;
		res.end(error.stack);
	});
});
provider.on('server_error', (_, error) => console.error(error));
console.log(issuer);
