// A client that uses oauth4webapi and dpop. Its argument has the URLs of two services: only
// accepts only tokens that are bound to a key, with nonces; both accepts others too. It prints
// a JSON object with the results.
import * as oauth from 'oauth4webapi';
import * as DPoP from 'dpop';
import { authorize } from './signin.mjs';

const { only, both } = JSON.parse(process.argv[2]);
const insecure = { [oauth.allowInsecureRequests]: true }; // loopback
const app = { client_id: 'app', id_token_signed_response_alg: 'ES256' };
const callback = 'http://127.0.0.1:9/callback';
const results = {};

// discover returns the metadata of the service and of its authorization server.
async function discover(resource) {
	const service = await oauth.processResourceDiscoveryResponse(new URL(resource), await oauth.resourceDiscoveryRequest(new URL(resource), insecure));
	const issuer = new URL(service.authorization_servers[0]);
	const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }));
	return { service, as };
}

// signIn returns an access token for resource. parameters are further ones of the
// authorization request. handle is that of oauth.DPoP, if the token is to be bound.
async function signIn(as, resource, parameters, handle) {
	const verifier = oauth.generateRandomCodeVerifier();
	const url = new URL(as.authorization_endpoint);
	url.search = new URLSearchParams({
		client_id: app.client_id, redirect_uri: callback, response_type: 'code', resource, scope: 'orders:read',
		code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
	});
	const answer = oauth.validateAuthResponse(as, app, await authorize(url));
	const response = await oauth.authorizationCodeGrantRequest(as, app, oauth.None(), answer, callback, verifier, {
		DPoP: handle, additionalParameters: { resource }, ...insecure,
	});
	return (await oauth.processAuthorizationCodeResponse(as, app, response)).access_token;
}

// request sends a request with oauth4webapi, once more after a demand for a nonce. It
// returns the status, and the challenges as oauth4webapi reads them.
async function request(token, url, handle) {
	const nonces = [];
	for (;;) {
		try {
			const response = await oauth.protectedResourceRequest(token, 'GET', new URL(url), undefined, undefined, { DPoP: handle, ...insecure });
			return { status: response.status, nonces, body: await response.text() };
		} catch (error) {
			if (oauth.isDPoPNonceError(error) && nonces.length === 0) {
				nonces.push('asked for');
				continue;
			}
			if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
			return { status: error.status, nonces, challenges: error.cause };
		}
	}
}

// send sends a request with credentials that are made by hand.
async function send(url, authorization, proof, method = 'GET') {
	const response = await fetch(url, { method, headers: { authorization, ...(proof && { dpop: proof }) } });
	return { status: response.status, challenge: response.headers.get('www-authenticate'), nonce: response.headers.get('dpop-nonce') };
}

const { service, as } = await discover(only);
results.service = service;
results.other = (await discover(both)).service;

// oauth4webapi
const keys = await oauth.generateKeyPair('ES256');
const handle = oauth.DPoP(app, keys);
let token = await signIn(as, only, {}, handle);
results.first = await request(token, only, handle);
results.again = await request(token, only, handle);
results.query = await request(token, `${only}?page=2&order=%2Fx`, handle);
results.below = await request(token, `${only}/42`, handle);
results.scope = await request(token, `${only}/write`, handle);
const scope = results.scope.challenges[0].parameters.scope;
results.scopeGranted = await request(await signIn(as, only, { scope }, handle), `${only}/write`, handle);
results.step = await request(token, `${only}/transfer`, handle);
const { acr_values, max_age } = results.step.challenges.find((c) => c.scheme === 'dpop').parameters;
results.stepped = await request(await signIn(as, only, { acr_values, max_age, scope: 'openid orders:read', prompt: 'login' }, handle), `${only}/transfer`, handle);
results.otherKey = await request(token, only, oauth.DPoP(app, await oauth.generateKeyPair('ES256')));

// Where both kinds are accepted.
const plain = await signIn(as, both, {});
const boundToken = await signIn(as, both, {}, handle);
results.plain = await request(plain, both);
results.bound = await request(boundToken, both, handle);
results.plainAsBound = await request(plain, both, handle);
results.downgrade = await request(boundToken, both);
results.bare = await send(both, '');
results.downgradeWithProof = await send(both, `Bearer ${boundToken}`, await DPoP.generateProof(keys, both, 'GET', undefined, boundToken));
results.forOtherService = await request(token, both, handle);

// dpop
results.algorithms = {};
for (const alg of ['ES256', 'Ed25519', 'PS256']) {
	const pair = await DPoP.generateKeyPair(alg);
	const bound = await signIn(as, only, {}, oauth.DPoP(app, pair));
	const { nonce } = await send(only, `DPoP ${bound}`, await DPoP.generateProof(pair, only, 'GET', undefined, bound));
	results.algorithms[alg] = await send(only, `DPoP ${bound}`, await DPoP.generateProof(pair, only, 'GET', nonce, bound));
}
const { nonce } = await send(only, `DPoP ${token}`, await DPoP.generateProof(keys, only, 'GET', undefined, token));
const prove = (url = only, method = 'GET', accessToken = token) => DPoP.generateProof(keys, url, method, nonce, accessToken);
const used = await prove();
results.fresh = await send(only, `DPoP ${token}`, used);
results.replay = await send(only, `DPoP ${token}`, used);
results.htuWithQuery = await send(`${only}?page=2`, `DPoP ${token}`, await prove(`${only}?page=2`));
results.otherPath = await send(`${only}/42`, `DPoP ${token}`, await prove());
results.otherMethod = await send(only, `DPoP ${token}`, await prove(), 'POST');
results.otherToken = await send(only, `DPoP ${token}`, await prove(only, 'GET', boundToken));
results.noProof = await send(only, `DPoP ${token}`);
results.bearer = await send(only, `Bearer ${token}`, await prove());

console.log(JSON.stringify(results, null, 1));
