// A real issuer for the client tests: `oidc-provider` with client credentials and signed access tokens. It prints its URL as
// a line of JSON. A line on standard input, `rotate {algorithm}`, gives it a new key and takes the old one away; the end of the
// input ends it.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const AUDIENCE = 'api://coffer';
const KINDS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

function provider(url, algorithm) {
  const key = KINDS[algorithm]().privateKey.export({ format: 'jwk' });
  const made = new Provider(url, {
    jwks: { keys: [{ ...key, kid: randomUUID(), alg: algorithm, use: 'sig' }] },
    clients: ['reader', 'stranger'].map((id) => ({
      client_id: id,
      client_secret: `${id}-secret`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: algorithm,
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'use',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    ttl: { ClientCredentials: 600 },
  });
  made.on('server_error', (_context, error) => console.error(error));
  return made.callback();
}

let answer = (_request, response) => response.writeHead(503).end();
const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  answer = provider(url, 'RS256');
  console.log(JSON.stringify({ url, audience: AUDIENCE }));
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      answer = provider(url, line.split(' ')[1]);
      console.log(JSON.stringify({ rotated: true }));
    })
    .on('close', () => process.exit(0));
});
