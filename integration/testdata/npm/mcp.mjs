// A client that uses the TypeScript SDK of MCP. It has no token when it starts. It prints a
// JSON object with the results.
import { Client, DpopSession, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { authorize } from './signin.mjs';

const { url, dpop } = JSON.parse(process.argv[2]);
const callback = 'http://127.0.0.1:9/callback';
const results = { signIns: [], schemes: [] };

// A provider keeps what the SDK gives it in memory, and signs the user in.
class Provider {
	redirectUrl = callback;
	clientMetadata = { redirect_uris: [callback] };
	clientInformation() { return { client_id: 'app' }; }
	tokens() { return this.saved; }
	saveTokens(tokens) { this.saved = tokens; }
	saveCodeVerifier(verifier) { this.verifier = verifier; }
	codeVerifier() { return this.verifier; }
	discoveryState() { return this.discovery; }
	saveDiscoveryState(state) { this.discovery = state; }
	async redirectToAuthorization(to) {
		results.signIns.push({ scope: to.searchParams.get('scope'), resource: to.searchParams.get('resource') });
		this.answer = (await authorize(to)).searchParams;
	}
}
const provider = new Provider();
if (dpop) {
	const session = await DpopSession.create();
	provider.dpop = () => session;
}

const options = {
	authProvider: provider,
	async fetch(to, init) {
		const scheme = new Headers(init?.headers).get('authorization')?.split(' ')[0];
		if (String(to) === url && scheme) results.schemes.push(scheme);
		return fetch(to, init);
	},
};

// signedIn calls f with a connected client. If f fails because the user has to sign in, it
// finishes that and tries again.
async function signedIn(f) {
	for (let i = 0; ; i++) {
		const transport = new StreamableHTTPClientTransport(new URL(url), options);
		const client = new Client({ name: 'test', version: '1' });
		try {
			await client.connect(transport);
			return await f(client);
		} catch (error) {
			if (!(error instanceof UnauthorizedError) || i > 2) throw error;
			await transport.finishAuth(provider.answer);
		} finally {
			await client.close().catch(() => {});
		}
	}
}

results.list = (await signedIn((client) => client.callTool({ name: 'list_notes', arguments: {} }))).structuredContent;
results.add = (await signedIn((client) => client.callTool({ name: 'add_note', arguments: { text: 'milk' } }))).structuredContent;
results.share = (await signedIn((client) => client.callTool({ name: 'share_note', arguments: { text: 'milk', with: 'bob' } }))).structuredContent;
results.schemes = [...new Set(results.schemes)];
console.log(JSON.stringify(results, null, 1));
