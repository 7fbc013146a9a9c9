// Signs a user in at the authorization server of provider.mjs, as a browser would.

// authorize follows the redirects from url to the redirect URI of the client, and returns
// that.
export async function authorize(url) {
	const cookies = new Map();
	for (let i = 0; i < 20; i++) {
		const response = await fetch(url, {
			redirect: 'manual',
			headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
		});
		for (const line of response.headers.getSetCookie()) {
			const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
			if (value) cookies.set(name, value);
			else cookies.delete(name);
		}
		const location = response.headers.get('location');
		if (!location) throw new Error(`${response.status} of ${url}: ${await response.text()}`);
		url = new URL(location, url);
		if (url.pathname === '/callback') return url;
	}
	throw new Error(`too many redirects: ${url}`);
}
