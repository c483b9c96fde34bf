// A real OpenID provider for the tests: npm's oidc-provider on a free loopback port, whose keys the tests rotate.
//
//   node provider.mjs FOLDER     FOLDER holds node_modules; prints its issuer once it listens, ends with its input
//
// A client says which token it wants by the resource it names (RFC 8707): urn:hms-svc:AUDIENCE:ALG:SECONDS, where
// `opaque` as ALG is a token without a form, and SECONDS below zero is a token that has expired so long ago.
// PUT /test/keys {"published": ["rsa-1", …], "signing": {"RS256": "rsa-1", …}} exchanges the keys; a name that is new
// is a new key: rsa-…, ec-… or okp-…. GET /test/asked counts what was asked, by path.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const entry = resolve(process.argv[2], 'node_modules/oidc-provider/lib/index.js');
const { default: Provider } = await import(pathToFileURL(entry));

const SCOPES = 'claims:read claims:write';
const PAIRS = {
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  okp: () => generateKeyPairSync('ed25519'),
};
const made = new Map();
const asked = {};
let keys = { published: ['rsa-1', 'ec-1'], signing: { RS256: 'rsa-1', PS256: 'rsa-1', ES256: 'ec-1' } };
let answer;

function jwk(name) {
  if (!made.has(name)) {
    const { privateKey } = PAIRS[name.split('-')[0]]();
    made.set(name, { ...privateKey.export({ format: 'jwk' }), kid: name, use: 'sig' });
  }
  return made.get(name);
}

function wanted(resource) {
  const [, , audience, alg, seconds] = resource.split(':');
  return { audience, alg, seconds: Number(seconds) };
}

function provide(issuer) {
  const provider = new Provider(issuer, {
    clients: ['service', 'introspector'].map((client_id) => ({
      client_id,
      client_secret: `the secret of ${client_id}`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: Object.keys(keys.signing)[0],
    })),
    jwks: { keys: keys.published.map(jwk) },
    scopes: SCOPES.split(' '),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'introspector' },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => {
          const { audience, alg, seconds } = wanted(resource);
          const common = { audience, scope: SCOPES, accessTokenTTL: Math.max(seconds, 1) };
          if (alg === 'opaque') return { ...common, accessTokenFormat: 'opaque' };
          return { ...common, accessTokenFormat: 'jwt', jwt: { sign: { alg, kid: keys.signing[alg] } } };
        },
      },
    },
    formats: {
      customizers: {
        jwt: (ctx, token, { payload }) => {
          const { seconds } = wanted(token.resourceServer.identifier());
          if (seconds < 0) payload.exp = payload.iat + seconds;
        },
      },
    },
  });
  return provider.callback();
}

const server = createServer(async (request, response) => {
  asked[request.url] = (asked[request.url] ?? 0) + 1;
  if (request.method === 'PUT' && request.url === '/test/keys') {
    let text = '';
    for await (const piece of request) text += piece;
    keys = JSON.parse(text);
    answer = provide(server.issuer);
    response.end();
  } else if (request.url === '/test/asked') {
    response.end(JSON.stringify(asked));
  } else {
    answer(request, response);
  }
});
server.listen(0, '127.0.0.1', () => {
  server.issuer = `http://127.0.0.1:${server.address().port}`;
  answer = provide(server.issuer);
  console.log(`issuer ${server.issuer}`);
});
process.stdin.on('end', () => process.exit()).resume();
